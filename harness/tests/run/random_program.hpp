// Random BPF programs that always end and never leave their memory, for comparing the interpreter
// with compiled code.
#pragma once

#include <cstdint>
#include <random>

#include "bpf/program.hpp"

namespace farcall::run {

// The memory that r1 must point at.
inline constexpr std::uint64_t kScratchBytes = 64;

// One to three functions, each calling only later ones and jumping only forward; every instruction
// of the table may occur, with operands that are likely to be edges. The result depends on all
// registers.
bpf::Program random_program(std::mt19937_64& random);

}  // namespace farcall::run
