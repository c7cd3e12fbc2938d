#include "stock/symbol_stories.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <span>

#include "bpf/instruction.hpp"
#include "bpf/instruction_range.hpp"
#include "show/tag.hpp"
#include "stock/distance.hpp"
#include "stock/programs.hpp"

namespace farcall::stock {
namespace {

// The programs with the slots that the kernel was given.
bpf::Program as_asked(const LinuxCell& linux_cell) {
  bpf::Program asked = *linux_cell.cell.program;
  asked.slots = linux_cell.question.slots;
  for (const kernel::TailProgram& target : linux_cell.question.targets) {
    asked.slots.insert(asked.slots.end(), target.slots.begin(), target.slots.end());
  }
  return asked;
}

constexpr std::uint8_t kTailCallInKernel = 0xf5;

// Tail calls of a function of which it is tried whether their indices are known.
constexpr std::size_t kMostTried = 8;

std::vector<bpf::SlotIndex> tail_calls(const bpf::Program& program) {
  std::vector<bpf::SlotIndex> all;
  for (const bpf::SlotIndex at : instructions(program)) {
    if (is_tail_call(program.slots[at])) {
      all.push_back(at);
    }
  }
  return all;
}

// A program as it is when the tags of its functions are taken: a tail call has an opcode of its own,
// and, if the verifier knows its index and constants are not blinded, which of these it is, from 1.
// `known`: a bit for each of them, in order.
bpf::Program as_tagged(bpf::Program program, std::span<const bpf::SlotIndex> calls,
                       unsigned known) {
  std::int32_t number = 0;
  for (std::size_t i = 0; i < calls.size(); ++i) {
    program.slots[calls[i]].opcode = kTailCallInKernel;
    program.slots[calls[i]].imm = i < kMostTried && (known >> i & 1U) != 0 ? ++number : 0;
  }
  return program;
}

// The tag of a function that the kernel's name of it has. Which tail calls' indices its verifier knows
// is not for us to say: each choice is tried, and the last one is of those without any.
show::Tag tag_of_function(const bpf::Program& program, std::uint32_t function,
                          const std::string& symbol, std::endian order, show::TagHash hash,
                          std::uint64_t placeholder) {
  const std::vector<bpf::SlotIndex> calls = tail_calls(program);
  show::Tag tag;
  for (unsigned known = 1U << std::min(calls.size(), kMostTried); known-- > 0;) {
    tag =
        show::tags(as_tagged(program, calls, known), order, hash, placeholder).functions[function];
    if (symbol.find(to_string(tag)) != std::string::npos) {
      break;
    }
  }
  return tag;
}

}  // namespace

std::vector<check::SymbolStory> symbol_stories(const LinuxCell& linux_cell,
                                               const bpf::Program& dumped,
                                               const kernel::Answer& answer,
                                               const AskedKernel& kernel) {
  const std::endian order = kernel.facts.order();
  // In place of a function's address; 6.1's source has the one, 6.12's the other: VMALLOC_START.
  const std::uint64_t placeholder = kernel.series < check::KernelSeries{6, 12}
                                        ? show::kOneInBothHalves
                                        : begin_of_area(answer.functions.front().address).value;
  const bpf::Program asked = as_asked(linux_cell);
  const std::vector<ProgramPart> loaded = program_parts(asked);
  const std::vector<ProgramPart> made = program_parts(dumped);
  std::vector<check::SymbolStory> stories;
  for (std::size_t p = 0; p < made.size() && p < loaded.size(); ++p) {
    const show::Tag whole = show::tags(alone(asked, loaded[p]), order, kernel.hash).program;
    const bpf::Program part = alone(dumped, made[p]);
    for (std::uint32_t f = made[p].first_function; f < made[p].end_function; ++f) {
      const bool is_first = f == made[p].first_function;
      const show::Tag tag =
          is_first ? whole
                   : tag_of_function(part, f - made[p].first_function, answer.functions[f].symbol,
                                     order, kernel.hash, placeholder);
      stories.push_back({.function = dumped.functions[f].name,
                         .expected = fmt::format("bpf_prog_{}_{}", to_string(tag),
                                                 kernel::name_in_c(dumped.functions[f].name)),
                         .seen = answer.functions[f].symbol});
    }
  }
  return stories;
}

}  // namespace farcall::stock
