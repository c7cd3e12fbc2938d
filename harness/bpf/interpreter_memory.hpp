#pragma once

#include "bpf/interpreter_machine.hpp"

// What a program does to memory.
namespace farcall::bpf::interpreter {

// Before the program runs: where in memory the addresses of instructions are. Nobody knows what
// they are.
Result<void> find_code_pointers(Machine& machine);

// Loads, stores and atomics.
Result<void> access_memory(Machine& machine, const InstructionInfo& info, const Slot& slot);

// After the program has run: nothing that is left in memory outside of the stack is undefined.
// Notes where pointers into the stack are, whose bits say nothing.
Result<void> check_memory(Machine& machine);

}  // namespace farcall::bpf::interpreter
