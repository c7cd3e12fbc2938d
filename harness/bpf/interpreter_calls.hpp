#pragma once

#include "bpf/interpreter_machine.hpp"

// How a program gets from one function to another, or through the address of an instruction.
namespace farcall::bpf::interpreter {

// Runs until the function returns in whose first slot the machine is: interpreter.cpp. An external
// function that calls back needs it.
Result<void> execute(Machine& machine);

// Calls of every kind, tail calls among them.
Result<void> call(Machine& machine);

// The return of a function to its caller.
void leave(Machine& machine);

// Goes where the address of an instruction leads.
Result<void> jump_register(Machine& machine);

}  // namespace farcall::bpf::interpreter
