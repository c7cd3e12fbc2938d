// The programs of a cell, each of which a kernel loads by itself: the first, and those that tail
// calls may go to.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "bpf/program.hpp"

namespace farcall::stock {

struct ProgramPart {
  std::uint32_t first_function = 0;
  std::uint32_t end_function = 0;  // one past the last
  bpf::SlotIndex begin = 0;
  bpf::SlotIndex end = 0;
};

// In order; one, if the program has no others.
std::vector<ProgramPart> program_parts(const bpf::Program& program);

// Which of them has that function.
std::size_t part_of(const std::vector<ProgramPart>& parts, std::uint32_t function);

// One of them alone, without its source lines. Its calls are of its own functions.
bpf::Program alone(const bpf::Program& program, const ProgramPart& part);

bool makes_tail_calls(const bpf::Program& program);

}  // namespace farcall::stock
