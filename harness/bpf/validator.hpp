// Whether a program is one that the other parts may take for granted.
#pragma once

#include "base/error.hpp"
#include "bpf/program.hpp"

namespace farcall::bpf {

// Accepts a program if
//   it has slots, and functions of distinct names that divide them     bpf.empty, bpf.bad-functions
//   each instruction is in the table and whole                         bpf.unknown-opcode,
//                                                                      bpf.falls-off-end
//   fields that an instruction does not use are zero                   bpf.reserved-field
//   registers are r0 … r10, and r10 is not written                     bpf.bad-register
//   jumps lead to an instruction of their own function                 bpf.jump-target
//   calls lead to the first slot of a function, and so do loads of a   bpf.call-target
//   function's address
//   calls through a register are an extension that the program has     bpf.unknown-opcode
//   the last instruction of a function is `exit` or `ja`               bpf.falls-off-end
// What each instruction is gets looked at first, in program order, then where each one leads. An
// error is where Program::origins says that its slot came from.
Result<void> validate(const Program& program);

}  // namespace farcall::bpf
