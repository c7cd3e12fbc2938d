#include "faults/rewrite.hpp"

#include <algorithm>
#include <exception>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "base/bits.hpp"
#include "bpf/instruction.hpp"
#include "bpf/instruction_range.hpp"

namespace farcall::faults {
namespace {

using bpf::InstructionInfo;
using bpf::Slot;
using bpf::SlotIndex;

struct Rewritten {
  bpf::Program program;
  std::vector<SlotIndex> moved;  // where each slot of the source has come to lie, its end too
};

bool names_function(const Slot& slot) {
  const InstructionInfo* const info = bpf::find(slot);
  return info != nullptr && (info->operation == bpf::Operation::call ||
                             info->operation == bpf::Operation::load_function);
}

// Gives the jump at `at` the target `to`; false if its field is too small.
bool aim(std::vector<Slot>& slots, SlotIndex at, SlotIndex to) {
  const std::int64_t distance = std::int64_t{to} - at - 1;
  Slot& slot = slots[at];
  if (bpf::find(slot)->form == bpf::Form::target32) {
    slot.imm = static_cast<std::int32_t>(distance);
    return true;
  }
  slot.offset = static_cast<std::int16_t>(distance);
  return fits_signed(distance, 16);
}

// Brings everything that counts slots to where they lie now.
bool recount(const bpf::Program& source, Rewritten& all) {
  std::vector<Slot>& slots = all.program.slots;
  for (const SlotIndex at : instructions(source)) {
    const Slot& slot = source.slots[at];
    const InstructionInfo& info = *bpf::find(slot);
    const SlotIndex last = all.moved[at + bpf::slots_of(slot.opcode)] - 1;
    if (info.is_jump() && bpf::find(slots[last])->is_jump()) {
      const auto to = static_cast<SlotIndex>(std::int64_t{at} + 1 + bpf::displacement(slot, info));
      if (!aim(slots, last, all.moved[to])) {
        return false;
      }
    } else if (names_function(slot) && names_function(slots[all.moved[at]])) {
      slots[all.moved[at]].imm =
          static_cast<std::int32_t>(all.moved[bpf::local_target(at, slot)] - all.moved[at] - 1);
    }
  }
  for (bpf::Function& function : all.program.functions) {
    function.begin = all.moved[function.begin];
    function.end = all.moved[function.end];
  }
  return true;
}

std::optional<Rewritten> rewritten(const bpf::Program& source, const Instead& instead) {
  Rewritten all{.program = source, .moved = {}};
  all.program.slots.clear();
  all.program.origins = {};
  all.program.lines.clear();
  bool changed = false;
  for (const SlotIndex at : instructions(source)) {
    const SlotIndex count = bpf::slots_of(source.slots[at].opcode);
    const std::span<const Slot> one = std::span(source.slots).subspan(at, count);
    all.moved.resize(at + count, static_cast<SlotIndex>(all.program.slots.size()));
    const auto other = instead(one);
    changed = changed || other;
    std::ranges::copy(other ? std::span<const Slot>(*other) : one,
                      std::back_inserter(all.program.slots));
  }
  all.moved.push_back(static_cast<SlotIndex>(all.program.slots.size()));
  return changed && recount(source, all) ? std::optional(std::move(all)) : std::nullopt;
}

// The number of each instruction of a function, by its slot from the function's begin.
std::vector<std::uint32_t> numbers(const bpf::Program& program, const bpf::Function& function) {
  std::vector<std::uint32_t> all;
  std::uint32_t number = 0;
  for (const SlotIndex at : instructions(program, function)) {
    all.resize(at + bpf::slots_of(program.slots[at].opcode) - function.begin, number++);
  }
  all.push_back(number);
  return all;
}

// The lines of the rewritten program's code as lines of the source.
void tell_lines(const bpf::Program& source, const Rewritten& rewritten, model::CodeImage& image) {
  for (std::size_t i = 0; i < source.functions.size(); ++i) {
    const bpf::Function& function = source.functions[i];
    const std::vector<std::uint32_t> number_of =
        numbers(rewritten.program, rewritten.program.functions[i]);
    const std::vector<model::CodeLine> all = std::move(image.functions[i].lines);
    std::vector<model::CodeLine>& lines = image.functions[i].lines;
    lines.clear();
    std::uint32_t number = 0;
    const auto tell = [&](SlotIndex at) {
      const SlotIndex in_function = rewritten.moved[at] - rewritten.moved[function.begin];
      const std::uint32_t now = number_of[in_function];
      const auto line = std::ranges::lower_bound(all, now, {}, &model::CodeLine::instruction);
      if (line != all.end() &&
          line->instruction == now) {  // what the JIT does not say, nobody knows
        lines.push_back({.instruction = number, .word = line->word});
      }
      ++number;
    };
    for (const SlotIndex at : instructions(source, function)) {
      tell(at);
    }
    tell(function.end);
  }
}

}  // namespace

std::optional<model::CodeImage> compiled_otherwise(const model::Document& right,
                                                   const Instead& instead, const CodeOf& code_of) {
  const auto other = rewritten(*right.cell.program, instead);
  if (!other) {
    return std::nullopt;
  }
  model::Cell cell = right.cell;
  cell.program = std::make_shared<const bpf::Program>(other->program);
  try {
    auto image = code_of(cell);
    if (image) {
      tell_lines(*right.cell.program, *other, *image);
    }
    return image;
  } catch (const std::exception&) {  // operands that no instruction has
    return std::nullopt;
  }
}

std::optional<bpf::Program> rewritten_program(const bpf::Program& source, const Instead& instead) {
  auto other = rewritten(source, instead);
  return other ? std::optional(std::move(other->program)) : std::nullopt;
}

bool is(const Slot& slot, std::string_view mnemonic) {
  const InstructionInfo* const info = bpf::find(slot);
  return info != nullptr && info->mnemonic == mnemonic;
}

Instead taken_for(std::string_view from, std::string_view to,
                  std::function<bool(const Slot&)> applies) {
  return [from, to, applies = std::move(applies)](
             std::span<const Slot> one) -> std::optional<std::vector<Slot>> {
    const InstructionInfo* const info = bpf::find(one.front());
    if (info == nullptr || info->mnemonic != from || (applies && !applies(one.front()))) {
      return std::nullopt;
    }
    const auto* const row =
        std::ranges::find_if(bpf::kInstructions, [&](const InstructionInfo& other) {
          return other.mnemonic == to && other.form == info->form && other.source == info->source;
        });
    if (row == bpf::kInstructions.end()) {
      throw std::logic_error("no instruction " + std::string(to));
    }
    Slot slot = one.front();
    if (info->offset.kind == bpf::FieldRule::Kind::selector) {
      slot.offset = 0;
    }
    if (info->imm.kind == bpf::FieldRule::Kind::selector) {
      slot.imm = 0;
    }
    bpf::select(*row, slot);
    return std::vector{slot};
  };
}

Instead taken_for(std::string_view from, std::string_view to) {
  return taken_for(from, to, nullptr);
}

namespace {

const InstructionInfo& row_of(std::string_view mnemonic, bool immediate) {
  const auto* const row =
      std::ranges::find_if(bpf::kInstructions, [&](const InstructionInfo& info) {
        return info.mnemonic == mnemonic && (info.source == bpf::Source::immediate) == immediate;
      });
  if (row == bpf::kInstructions.end()) {
    throw std::logic_error("no instruction " + std::string(mnemonic));
  }
  return *row;
}

}  // namespace

Slot instruction(std::string_view mnemonic, std::uint8_t dst, std::uint8_t src,
                 std::int16_t offset) {
  Slot slot{.dst = dst, .src = src, .offset = offset};
  bpf::select(row_of(mnemonic, false), slot);
  return slot;
}

Slot with_immediate(std::string_view mnemonic, std::uint8_t dst, std::int32_t imm,
                    std::int16_t offset) {
  Slot slot{.dst = dst, .offset = offset, .imm = imm};
  bpf::select(row_of(mnemonic, true), slot);
  return slot;
}

}  // namespace farcall::faults
