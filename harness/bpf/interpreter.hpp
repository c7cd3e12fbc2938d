// The reference: runs a BPF program on the host, one instruction at a time, as RFC 9669 says.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
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

// The state before an instruction.
struct InterpreterStep {
  SlotIndex slot = 0;
  std::uint32_t depth = 0;  // how many callers wait
  std::array<std::uint64_t, kRegisterCount> registers = {};

  friend bool operator==(const InterpreterStep&, const InterpreterStep&) = default;
};

struct InterpreterLimits {
  std::uint64_t instructions = 1'000'000;
  std::uint32_t call_depth = 32;  // frames alive at the same time, the first included
  std::function<void(const InterpreterStep&)> watch = {};  // told before each instruction
};

// An address that an external function stored in the program's memory, and that only the code
// knows: where the call at `site` returns to. The interpreter stores 0.
struct ReturnAddress {
  GuestAddress at;
  CallSite site;

  friend bool operator==(const ReturnAddress&, const ReturnAddress&) = default;
};

struct InterpreterRun {
  std::uint64_t r0 = 0;
  std::uint64_t instructions = 0;
  // Every call executed, in the order of execution: tail calls too, if they go anywhere.
  std::vector<PseudoCall> calls;
  std::vector<ReturnAddress> return_addresses;
};

// Runs `program`, which validate() accepts, from its first slot with r1 … r5 = `arguments` until
// the first function exits. `addresses` are what pointers to its functions are, one for each
// function and each external; a program that neither loads nor calls through any needs none. Its
// maps are the regions of `memory` that are called so.
// Function frames are taken downwards from `stack_top`, kFrameBytes each: r10 of the first function
// is `stack_top`. `memory` holds what is left of it afterwards. Fails with interpreter.bad-access,
// interpreter.bad-call (through a register that holds no function's address, or no helper's
// number), interpreter.budget, interpreter.call-depth.
Result<InterpreterRun> interpret(const Program& program, std::span<const GuestAddress> addresses,
                                 const std::array<std::uint64_t, 5>& arguments,
                                 GuestAddress stack_top, AddressSpace& memory,
                                 const InterpreterLimits& limits = {});

}  // namespace farcall::bpf
