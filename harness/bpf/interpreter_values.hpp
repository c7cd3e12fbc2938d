#pragma once

#include "bpf/interpreter_machine.hpp"

// Arithmetic and conditions on values that may be undefined in part, or be pointers into a frame.
namespace farcall::bpf::interpreter {

// Both operands of an ALU or jump instruction, of its width.
struct Operands {
  Value a;
  Value b;
  bool same = false;  // both are one register, as it is
};

// The result, of which `bits` are known, where an operand is not a number that is all known.
Value partly_defined(const InstructionInfo& info, const Operands& both, std::uint64_t bits);

// What an ALU or byte order instruction leaves in its destination.
Value arithmetic(const Machine& machine, const InstructionInfo& info, const Slot& slot);

// Whether an instruction jumps; the error, where that depends on what is undefined.
Result<bool> jumps(const Machine& machine, const InstructionInfo& info, const Slot& slot);

}  // namespace farcall::bpf::interpreter
