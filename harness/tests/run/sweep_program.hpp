// Programs that put one instruction through many operands: many checks in one job.
//
// A program is a row of blocks, one for each choice of registers and immediate; a block is a loop
// over records of its memory, and each record is one check:
//
//   offset   0  operand a: dst before the instruction, or what is in memory for a load or atomic
//            8  operand b: src
//           16  r0 before an atomic
//           24  what a store or an atomic works on
//           32  dst after the instruction
//           40  src after it
//           48  r0 after an atomic; 1 if a jump was taken
//
// What the instruction must come to is for whoever runs the program to know: interpreter and CPU
// leave all of this in memory.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

#include "bpf/instruction.hpp"
#include "bpf/program.hpp"

namespace farcall::run {

// What makes a check another one: row of the table, dst, src, immediate or offset, a, b.
using SweepCheck =
    std::tuple<std::size_t, std::uint8_t, std::uint8_t, std::int32_t, std::uint64_t, std::uint64_t>;

struct SweepProgram {
  bpf::Program program;
  std::vector<std::byte> memory;  // r1 points to it
  std::vector<SweepCheck> checks;
  std::string blocks;  // for messages: where in memory which instruction's records begin
};

// What an instruction is put through: each value of `operands` with each, at registers and
// immediates that cover each other pairwise over all rows of the table.
struct SweepPlan {
  std::vector<std::uint64_t> operands;
  std::vector<std::int32_t> immediates;
};

// Whether the row is one that a program of blocks can put to the test: not a jump or call without
// operands, nor the 64-bit immediate load.
bool can_sweep(const bpf::InstructionInfo& info);

// The program for row `number` of bpf::kInstructions, for a machine of byte order `order`.
SweepProgram sweep_program(std::size_t number, const SweepPlan& plan, std::endian order);

}  // namespace farcall::run
