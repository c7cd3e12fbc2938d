#include "bpf/disassembler.hpp"

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bpf/instruction.hpp"
#include "bpf/instruction_range.hpp"

namespace farcall::bpf {
namespace {

// A label for each slot that needs one, else empty.
using Labels = std::vector<std::string>;

template <typename... Arguments>
void append(std::string& text, fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  text += fmt::format(format, std::forward<Arguments>(arguments)...);
}

std::int64_t target_of(SlotIndex slot, std::int32_t displacement) {
  return std::int64_t{slot} + 1 + displacement;
}

// `[%r1+8]`
void append_memory(std::string& text, std::uint8_t base, std::int16_t offset) {
  append(text, "[%r{}{:+}]", base, offset);
}

// The label at `displacement` from `slot`, or the displacement where there is none.
void append_target(std::string& text, const Labels& labels, SlotIndex slot,
                   std::int32_t displacement) {
  const std::int64_t target = target_of(slot, displacement);
  const bool inside = target >= 0 && target < std::ssize(labels);
  if (inside && !labels[static_cast<std::size_t>(target)].empty()) {
    append(text, "{}", labels[static_cast<std::size_t>(target)]);
  } else {
    append(text, "{:+}", displacement);
  }
}

// The name of map number `number`, or that where there is none.
std::string map_name(const Program& program, std::int32_t number) {
  const bool known = number >= 0 && number < std::ssize(program.maps);
  return known ? program.maps[static_cast<std::size_t>(number)].name : fmt::format("{}", number);
}

void append_operand(std::string& text, const Program& program, const Labels& labels, SlotIndex at,
                    const InstructionInfo& info, Operand operand) {
  const Slot& slot = program.slots[at];
  switch (operand) {
    case Operand::none:
      break;
    case Operand::dst:
      append(text, "%r{}", slot.dst);
      break;
    case Operand::source:
      if (info.source == Source::src_register) {
        append(text, "%r{}", slot.src);
      } else {
        append(text, "{}", slot.imm);
      }
      break;
    case Operand::imm64:
      append(text, "{:#x}", immediate64(slot, program.slots[at + 1]));
      break;
    case Operand::map:
      append(text, "map {}", map_name(program, slot.imm));
      break;
    case Operand::map_value:
      append(text, "value {}+{}", map_name(program, slot.imm), program.slots[at + 1].imm);
      break;
    case Operand::memory_dst:
      append_memory(text, slot.dst, slot.offset);
      break;
    case Operand::memory_src:
      append_memory(text, slot.src, slot.offset);
      break;
    case Operand::target:
      append_target(text, labels, at, slot.offset);
      break;
    case Operand::target32:
      append_target(text, labels, at, slot.imm);
      break;
    case Operand::local_callee:
      append(text, "local ");
      append_target(text, labels, at, slot.imm);
      break;
    case Operand::helper:
      append(text, "{}", slot.imm);
      break;
    case Operand::kfunc:
      append(text, "kfunc {}", slot.imm);
      break;
  }
}

void append_instruction(std::string& text, const Program& program, const Labels& labels,
                        SlotIndex at) {
  const Slot& slot = program.slots[at];
  const InstructionInfo* info = find(slot);
  if (info == nullptr || at + slots_of(slot.opcode) > program.slots.size()) {
    append(text, "opcode {:#04x}", slot.opcode);
    return;
  }
  append(text, "{}", info->mnemonic);
  std::string_view separator = " ";
  for (const Operand operand : operands_of(info->form)) {
    if (operand == Operand::none) {
      break;
    }
    append(text, "{}", separator);
    append_operand(text, program, labels, at, *info, operand);
    separator = ", ";
  }
}

Labels function_labels(const Program& program) {
  Labels labels(program.slots.size());
  for (const Function& function : program.functions) {
    labels[function.begin] = function.name;
  }
  return labels;
}

template <typename Visit>
void for_each_instruction(const Program& program, Visit visit) {
  for (const SlotIndex at : instructions(program)) {
    visit(at);
  }
}

void add_jump_labels(const Program& program, Labels& labels) {
  std::vector<bool> is_target(labels.size(), false);
  for_each_instruction(program, [&](SlotIndex at) {
    const Slot& slot = program.slots[at];
    const InstructionInfo* info = find(slot);
    if (info == nullptr || !info->is_jump()) {
      return;
    }
    const std::int64_t target = target_of(at, displacement(slot, *info));
    if (target >= 0 && target < std::ssize(labels)) {
      is_target[static_cast<std::size_t>(target)] = true;
    }
  });
  for (const CodePointer& pointer : program.code_pointers) {
    if (pointer.slot < is_target.size()) {
      is_target[pointer.slot] = true;
    }
  }
  unsigned number = 0;
  for (std::size_t slot = 0; slot < labels.size(); ++slot) {
    if (!is_target[slot] || !labels[slot].empty()) {
      continue;
    }
    do {
      labels[slot] = fmt::format("L{}", ++number);
    } while (function_named(program, labels[slot]));
  }
}

// `.table jumps L1, L2`, for each region that has addresses of instructions.
void append_tables(std::string& text, const Program& program, const Labels& labels) {
  std::string_view table;
  for (const CodePointer& pointer : program.code_pointers) {
    const bool is_first = table != pointer.region;
    if (is_first && !table.empty()) {
      append(text, "\n");
    }
    table = pointer.region;
    append(text, "{}{}", is_first ? fmt::format(".table {} ", table) : ", ",
           pointer.slot < labels.size() ? labels[pointer.slot] : fmt::format("{}", pointer.slot));
  }
  if (!table.empty()) {
    append(text, "\n");
  }
}

}  // namespace

std::string disassemble(const Program& program) {
  Labels labels = function_labels(program);
  add_jump_labels(program, labels);
  std::string text;
  for_each_instruction(program, [&](SlotIndex at) {
    if (!labels[at].empty()) {
      append(text, "{}:\n", labels[at]);
    }
    append_instruction(text, program, labels, at);
    append(text, "\n");
  });
  append_tables(text, program, labels);
  return text;
}

std::string disassemble_instruction(const Program& program, SlotIndex slot) {
  const InstructionInfo* info = find(program.slots[slot]);
  const bool names_function = info != nullptr && info->names_function();
  std::string text;
  append_instruction(text, program, names_function ? function_labels(program) : Labels{}, slot);
  return text;
}

}  // namespace farcall::bpf
