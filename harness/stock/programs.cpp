#include "stock/programs.hpp"

#include <algorithm>

#include "bpf/instruction.hpp"
#include "bpf/instruction_range.hpp"

namespace farcall::stock {

std::vector<ProgramPart> program_parts(const bpf::Program& program) {
  std::vector<ProgramPart> parts;
  for (std::uint32_t i = 0; i < program.functions.size(); ++i) {
    const bpf::Function& function = program.functions[i];
    if (i == 0 || function.begins_program) {
      parts.push_back({.first_function = i, .begin = function.begin});
    }
    parts.back().end_function = i + 1;
    parts.back().end = function.end;
  }
  return parts;
}

std::size_t part_of(const std::vector<ProgramPart>& parts, std::uint32_t function) {
  const auto found = std::ranges::find_if(
      parts, [function](const ProgramPart& part) { return function < part.end_function; });
  return static_cast<std::size_t>(found - parts.begin());
}

bpf::Program alone(const bpf::Program& program, const ProgramPart& part) {
  bpf::Program one = program;
  one.slots = {program.slots.begin() + part.begin, program.slots.begin() + part.end};
  one.functions = {program.functions.begin() + part.first_function,
                   program.functions.begin() + part.end_function};
  one.origins = {};
  one.lines.clear();
  one.functions.front().begins_program = false;
  for (bpf::Function& function : one.functions) {
    function.begin -= part.begin;
    function.end -= part.begin;
  }
  return one;
}

bool makes_tail_calls(const bpf::Program& program) {
  return std::ranges::any_of(instructions(program), [&program](bpf::SlotIndex i) {
    return is_tail_call(program.slots[i]);
  });
}

}  // namespace farcall::stock
