// One BPF function to ppc64 words: what the code looks like. compile.cpp decides how often.
//
// Registers
//
//   BPF       ppc64      why
//   r1 … r5   r3 … r7    where ELFv2 passes the first five arguments: a call moves nothing
//   r0        r8         volatile as r3 is; not r3, as r1 may live on while r0 is being made
//   r6 … r9   r27 … r30  nonvolatile: a callee must preserve them
//   r10       r31        nonvolatile, as frame pointers usually are
//   –         r9 … r11   scratch within one BPF instruction
//   –         r12        address of the callee
//   –         r0         LR, in prologue and epilogue only; as a base it would mean zero
//   –         cr0        scratch; no other CR field is written
//
// r13 is never touched, and r2 only by calls through a descriptor, which bring it back.
//
// Frame, offsets from r1. Every function has one, of the same size, but for those that need none:
// they call nobody, name none of r6 … r10, and neither swap bytes nor count may_goto. LR stays in
// LR there.
//
//   ELFv2 ELFv1
//      0     0   header: back chain, CR, LR, TOC save; callees save LR into it
//      –    48   parameter save area: a callee may save its arguments here
//     32   112   the 512 bytes of BPF stack; r10 of BPF points to their end
//    544   624   a doubleword through which bytes are swapped
//    552   632   r27 … r31 of the caller, as far as this function writes them
//    592   672   = the caller's frame, where LR is saved at 16
//
// In a program that passes more than five arguments, the sixth to twelfth of the next call are at
// 32 or 88, and what follows is 64 or 32 bytes further on. The callee loads them from there.
//
// With ELFv1, a function begins with its descriptor: three doublewords {code, TOC pointer, 0}. Its
// address is the descriptor's, its code is 24 bytes further on.
//
// Calls: arguments are in place, the reach's words end in the branch to the callee, and `mr r8,r3`
// takes the result. A call through a register gets the pointer from there, and is then what abs64
// is. A pointer to a function or a map is loaded in five words whatever the address is: as with
// calls, no function may change its size because something else was moved. A function returns by
// jumping to the epilogue at its end; the last exit falls into it.
//
// A call by number compares the register with the number of each helper, and ends in a trap word
// where there is no such helper: emit_call_by_number().
//
// A helper is entered after the words that find r2, as whatever has our r2 may. A kfunc is entered
// where all may, by its whole address in r12 whatever the reach; it leaves its own r2, and ours is
// brought back. Its arguments are extended to what its types say.
//
// 32-bit operations keep the rule of BPF that the upper half becomes zero: operations that leave
// anything there are followed by `clrldi dst,dst,32`. Comparisons use the ISA's word compares.
//
// Loads and stores are in the CPU's byte order, which is the program's. ld and std take only
// displacements that are multiples of 4; others go through a register.
//
// Atomics are a loop of load-and-reserve and store-conditional, in jit/memory.cpp.
//
// Branches: a conditional one reaches ±32 KiB. One that must go further is *far*: the opposite
// condition jumps over an unconditional `b`, which reaches ±32 MiB.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/error.hpp"
#include "jit/convention.hpp"
#include "jit/emitter.hpp"
#include "jit/reach.hpp"
#include "model/linked_program.hpp"

namespace farcall::jit {

// What is asked: function number `function`. `first_call` is its first one in linked.calls.
struct FunctionSource {
  const model::LinkedProgram& linked;
  const ReachInfo& reach;
  const Target& target;
  std::uint32_t function = 0;
  std::size_t first_call = 0;
};

// A jump within the function, in program order.
struct Branch {
  std::uint32_t position = 0;  // of its first word
  std::uint32_t target = 0;    // slot, counted from the function's begin
  bool conditional = false;
  bool far = false;
};

// A call instruction of the function, in program order.
struct CallCode {
  std::uint32_t first = 0;            // position of its first word
  std::uint32_t position = 0;         // of the branch
  std::optional<std::size_t> linked;  // number in linked.calls; empty: through a register, or
  bool is_tail = false;               // a tail call
  bool is_jump = false;               // a gotox
};

// Where everything is, as one pass found it. Positions are in words from the function's first.
struct Layout {
  std::vector<std::uint32_t> slots;  // where each slot's code begins; one more for the epilogue
  std::vector<Branch> branches;      // which of them are far is kept from pass to pass
  std::vector<CallCode> calls;
  bool has_frame = true;
};

// A sizing pass finds the layout and has zeros for distances and addresses. The emitting pass has
// the real ones, and every slot must come out where the layout says.
enum class Pass : std::uint8_t { sizing, emitting };

// Fails with jit.unsupported, jit.size-changed, call.unresolved (a call that linked.calls lacks),
// call.out-of-range (one that the reach cannot make), place.misaligned (one to no word).
Result<void> run_pass(Pass pass, const FunctionSource& source, Layout& layout, Emitter& out);

// From what a pointer to a callee is to where code that has the address may enter it, in bytes.
// `external` is null for a function of the program.
std::uint64_t entry_bytes(model::Abi abi, const bpf::External* external);

// Marks the conditional branches far that do not reach their target in this layout. If there are
// any, sizes must be found anew. Branches only ever become far, so this comes to an end.
bool widen_branches(Layout& layout);

}  // namespace farcall::jit
