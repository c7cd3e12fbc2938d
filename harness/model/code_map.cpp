#include "model/code_map.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "bpf/instruction.hpp"
#include "bpf/instruction_range.hpp"

namespace farcall::model {
namespace {

// Appends the instructions of function number `number`, and returns its epilogue.
std::optional<GuestAddress> append_function(const bpf::Program& program, const CodeFunction& code,
                                            std::uint32_t number,
                                            std::vector<PlacedInstruction>& instructions) {
  const bpf::Function& function = program.functions[number];
  std::span<const CodeLine> lines(code.lines);
  // The bytes up to the next line, or to the function's end.
  const auto bytes_of_first = [&] {
    const std::uint64_t end = lines.size() > 1 ? lines[1].word : code.words.size();
    return (end - lines.front().word) * 4;
  };
  std::uint32_t ordinal = 0;
  bool ends_in_exit = false;
  for (const bpf::SlotIndex at : bpf::instructions(program, function)) {
    if (lines.empty()) {
      break;
    }
    const bpf::InstructionInfo* const info = bpf::find(program.slots[at].opcode);
    ends_in_exit = info != nullptr && info->operation == bpf::Operation::exit;
    if (lines.front().instruction == ordinal) {
      instructions.push_back({.function = number,
                              .slot = at,
                              .begin = code.address + std::uint64_t{lines.front().word} * 4,
                              .bytes = bytes_of_first()});
      lines = lines.subspan(1);
    }
    ++ordinal;
  }
  if (lines.empty() || lines.front().instruction != ordinal) {
    return std::nullopt;
  }
  if (ends_in_exit && instructions.back().bytes == 0) {
    instructions.back().bytes = bytes_of_first();
  }
  return code.address + std::uint64_t{lines.front().word} * 4;
}

}  // namespace

const PlacedInstruction* CodeMap::at(GuestAddress address) const {
  const auto found = std::ranges::find_if(
      instructions,
      [address](const PlacedInstruction& instruction) { return instruction.contains(address); });
  return found == instructions.end() ? nullptr : &*found;
}

const PlacedInstruction* CodeMap::of(bpf::SlotIndex slot) const {
  const auto found = std::ranges::lower_bound(instructions, slot, {}, &PlacedInstruction::slot);
  return found == instructions.end() || found->slot != slot ? nullptr : &*found;
}

CodeMap code_map(const bpf::Program& program, const CodeImage& image) {
  CodeMap map;
  for (std::uint32_t i = 0; i < image.functions.size(); ++i) {
    const CodeFunction& code = image.functions[i];
    map.epilogues.push_back(i < program.functions.size() && !code.lines.empty()
                                ? append_function(program, code, i, map.instructions)
                                : std::nullopt);
  }
  return map;
}

Result<void> place_code_pointers(const bpf::Program& program, CodeImage& image) {
  if (program.code_pointers.empty() || !image.code_pointers.empty()) {
    return success();
  }
  const CodeMap map = code_map(program, image);
  for (const bpf::CodePointer& pointer : program.code_pointers) {
    const PlacedInstruction* const placed = map.of(pointer.slot);
    if (placed == nullptr) {
      const bpf::Function& function = program.functions[*bpf::function_at(program, pointer.slot)];
      return Error{.code = ErrorCode::jit_bad_answer,
                   .message = fmt::format(
                       "{} jumps to {}+{} through a table: expected a line table that says where "
                       "the code of that begins",
                       function.name, function.name, pointer.slot - function.begin)};
    }
    image.code_pointers.push_back(
        {.region = pointer.region, .offset = pointer.offset, .address = placed->begin});
  }
  return success();
}

std::optional<std::uint32_t> function_at(const CodeImage& image, GuestAddress address) {
  for (std::uint32_t i = 0; i < image.functions.size(); ++i) {
    const CodeFunction& function = image.functions[i];
    // By size: the end may be the end of the address space.
    if (address.value - function.address.value < function.words.size() * 4) {
      return i;
    }
  }
  return std::nullopt;
}

}  // namespace farcall::model
