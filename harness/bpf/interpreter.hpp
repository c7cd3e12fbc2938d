// The reference: runs a BPF program on the host, one instruction at a time, as RFC 9669 says.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "base/address.hpp"
#include "base/error.hpp"
#include "bpf/address_space.hpp"
#include "bpf/instruction.hpp"
#include "bpf/program.hpp"

namespace farcall::bpf {

// The BPF stack frame of each function, in bytes, as in Linux.
inline constexpr std::uint64_t kFrameBytes = 512;

// The most frames that may exist at the same time, the first included.
inline constexpr std::uint32_t kMostFrames = 32;

// The state before an instruction.
struct InterpreterStep {
  SlotIndex slot = 0;
  std::uint32_t depth = 0;  // how many callers wait
  std::array<std::uint64_t, kRegisterCount> registers = {};
  // Registers that hold the address of an instruction, as a mask: the number of one of
  // Program::code_pointers stands for it.
  std::uint32_t code_pointers = 0;

  friend bool operator==(const InterpreterStep&, const InterpreterStep&) = default;
};

struct InterpreterLimits {
  std::uint64_t instructions = kDefaultBudget;
  std::uint32_t call_depth = kMostFrames;
  std::function<void(const InterpreterStep&)> watch = {};  // told before each instruction
};

// An address that an external function stored in the program's memory, and that only the code
// knows: where the call at `site` returns to. The interpreter stores 0.
struct ReturnAddress {
  GuestAddress at;
  CallSite site;

  friend bool operator==(const ReturnAddress&, const ReturnAddress&) = default;
};

struct FrameByte {
  std::uint32_t below_top = 0;  // in bytes
  std::byte value{};

  friend bool operator==(const FrameByte&, const FrameByte&) = default;
};

// What a function left in its frame: bytes that nobody has written, or of pointers into the stack,
// are not among it.
struct LeftFrame {
  std::uint32_t function = 0;
  std::vector<FrameByte> bytes;

  friend bool operator==(const LeftFrame&, const LeftFrame&) = default;
};

// The most that was in use at one moment: frames, and bytes of them all, each counted down to the
// deepest byte that an instruction reached and rounded up to 32 bytes, as Linux's verifier counts.
struct StackUse {
  std::uint32_t frames = 0;
  std::uint32_t bytes = 0;

  friend bool operator==(const StackUse&, const StackUse&) = default;
};

struct InterpreterRun {
  std::uint64_t r0 = 0;
  // Why r0 is undefined (case.undefined-value): an error only if somebody needs r0.
  std::optional<Error> undefined_result;
  std::uint32_t r0_frame = 0;  // not 0: a pointer into that frame, as in StoredPointer
  // Pointers into the stack in other memory. Frames count from 1 in the order in which functions
  // begin; the first lies below `stack_top`.
  std::vector<StoredPointer> stack_pointers;
  // What is left in frames at the end: in that of the outermost function that ran last, in that of
  // the last function that it called, then of the last function called by that one, and so on. The
  // list ends before the first frame whose place a later external function used, and after the last
  // frame that holds anything.
  std::vector<LeftFrame> frames;
  std::uint64_t instructions = 0;
  // Every call executed, in the order of execution: tail calls too, if they go anywhere, and each
  // `gotox`.
  std::vector<PseudoCall> calls;
  std::vector<ReturnAddress> return_addresses;
  StackUse stack_use;
};

// Runs `program`, which validate() accepts, from its first slot with r1 … r5 = `arguments` until
// the first function exits. `addresses` are what pointers to its functions are, one for each
// function and each external; a program that neither loads nor calls through any needs none. Its
// maps are the regions of `memory` that have their names.
// Function frames are taken downwards from `stack_top`, kFrameBytes each: r10 of the first function
// is `stack_top`. Afterwards they are the last region of `memory`. An access by a pointer into a
// frame must lie in that frame, and its function must not have returned. `memory` is changed by the
// run.
// Fails with interpreter.bad-access, interpreter.bad-call (through a register that holds no
// function's address, or no helper's number), interpreter.budget, interpreter.call-depth.
//
// Addresses of instructions in memory (Program::code_pointers) may be loaded as a whole, copied from
// register to register, and jumped to. All else that depends on where the JIT puts code is
// undefined.
//
// Registers that nobody has written (r0 and r6 … r9 where a function begins, r1 … r5 after a call),
// frames that nobody has written, and where the stack lies are undefined values. They may be
// copied; if a branch, an address, an argument of an external function or memory other than the
// stack depends on one, that is case.undefined-value, which names it.
Result<InterpreterRun> interpret(const Program& program, std::span<const GuestAddress> addresses,
                                 const std::array<std::uint64_t, 5>& arguments,
                                 GuestAddress stack_top, AddressSpace& memory,
                                 const InterpreterLimits& limits = {});

}  // namespace farcall::bpf
