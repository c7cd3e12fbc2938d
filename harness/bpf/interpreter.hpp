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

// So many frames may be there at the same time, the first included.
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
  // Why r0 has no value of its own (case.undefined-value): for who looks at it.
  std::optional<Error> undefined_result;
  std::uint32_t r0_frame = 0;  // not 0: a pointer into that frame, as in StoredPointer
  // Pointers into the stack in other memory. Frames count from 1 in the order in which functions
  // begin; the first lies below `stack_top`.
  std::vector<StoredPointer> stack_pointers;
  // What is left in frames at the end: that of the outermost function that ran last, that of the
  // last function that it called, of the last one that that called, and so on. They end before the
  // first whose place an external function was given later, and with the last that holds anything.
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
// maps are the regions of `memory` that are called so.
// Function frames are taken downwards from `stack_top`, kFrameBytes each: r10 of the first function
// is `stack_top`; they are the last region of `memory` afterwards. An access by a pointer into a
// frame lies in that frame, which is still there. `memory` holds what is left of it afterwards.
// Fails with interpreter.bad-access, interpreter.bad-call (through a register that holds no
// function's address, or no helper's number), interpreter.budget, interpreter.call-depth.
//
// Addresses of instructions in memory (Program::code_pointers) may be loaded as a whole, copied from
// register to register, and jumped to. All else that depends on where the JIT puts code is
// undefined.
//
// Registers that nobody has written (r0 and r6 … r9 where a function begins, r1 … r5 after a call),
// frames that nobody has written, and where the stack lies are not the program's to know. Such
// values may be copied; case.undefined-value says which a branch, an address, an argument of an
// external function or memory other than the stack depends on at last.
Result<InterpreterRun> interpret(const Program& program, std::span<const GuestAddress> addresses,
                                 const std::array<std::uint64_t, 5>& arguments,
                                 GuestAddress stack_top, AddressSpace& memory,
                                 const InterpreterLimits& limits = {});

}  // namespace farcall::bpf
