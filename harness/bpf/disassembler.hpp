// Programs to BPF assembly, in the dialect of bpf/assembler.hpp.
#pragma once

#include <string>

#include "bpf/program.hpp"

namespace farcall::bpf {

// A program that validate() accepts, as text: a label for each function, `L1`, `L2`, … for jump
// targets. assemble() makes the same program of the text if the first function is called main, the
// others have names that can be labels, and each of these is called, or its address loaded: only
// that makes a label a function. This holds for programs that assemble() made.
std::string disassemble(const Program& program);

// The instruction that begins at `slot`, for listings: jumps as `+2`, callees by name. Whatever is
// not an instruction, or is cut short, is its opcode: `opcode 0xff`.
std::string disassemble_instruction(const Program& program, SlotIndex slot);

}  // namespace farcall::bpf
