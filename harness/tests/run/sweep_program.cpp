#include "tests/run/sweep_program.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/byte_order.hpp"
#include "bpf/disassembler.hpp"

namespace farcall::run {
namespace {

using bpf::Form;
using bpf::Slot;

constexpr std::size_t kRecordBytes = 64;
constexpr std::uint8_t kRegisters = 10;  // r0 to r9 take part
constexpr std::int16_t kKeptPointer = -8;

constexpr std::int16_t kA = 0;
constexpr std::int16_t kB = 8;
constexpr std::int16_t kR0 = 16;
constexpr std::int16_t kCell = 24;
constexpr std::int16_t kDst = 32;
constexpr std::int16_t kSrc = 40;
constexpr std::int16_t kR0After = 48;
constexpr std::int16_t kTaken = 48;

// Displacements of loads and stores: edges of the field, and what no DS-form holds.
constexpr auto kOffsets = std::to_array<std::int32_t>({0, 1, 2, 4, 7, -1, -8, 32767, -32768, 1234});

Slot load_double(std::uint8_t dst, std::uint8_t src, std::int16_t offset) {
  return {.opcode = 0x79, .dst = dst, .src = src, .offset = offset};
}
Slot store_double(std::uint8_t dst, std::int16_t offset, std::uint8_t src) {
  return {.opcode = 0x7b, .dst = dst, .src = src, .offset = offset};
}
Slot move(std::uint8_t dst, std::uint8_t src) {
  return {.opcode = 0xbf, .dst = dst, .src = src};
}
Slot set(std::uint8_t dst, std::int32_t imm) {
  return {.opcode = 0xb7, .dst = dst, .imm = imm};
}
Slot add(std::uint8_t dst, std::int32_t imm) {
  return {.opcode = 0x07, .dst = dst, .imm = imm};
}

// The registers that a block needs for itself, none of which the instruction names.
struct Helpers {
  std::uint8_t record = 0;
  std::uint8_t end = 0;
  std::uint8_t spare = 0;
};

Helpers helpers_beside(std::uint8_t dst, std::uint8_t src) {
  std::array<std::uint8_t, 3> found{};
  std::size_t count = 0;
  for (std::uint8_t number = 9; count < found.size(); --number) {
    if (number != dst && number != src) {
      found[count++] = number;
    }
  }
  return {found[0], found[1], found[2]};
}

class Sweep {
 public:
  Sweep(std::size_t number, const SweepPlan& plan, std::endian order)
      : number_(number), info_(bpf::kInstructions[number]), plan_(plan), order_(order) {}

  SweepProgram make() {
    emit(store_double(bpf::kFramePointer, kKeptPointer, 1));
    const bool by_offset = info_.memory_bytes != 0;
    const bool by_immediate = info_.source == bpf::Source::immediate;
    if (by_offset || by_immediate) {
      const auto count = by_offset ? kOffsets.size() : plan_.immediates.size();
      for (std::size_t i = 0; i < count; ++i) {
        for (std::size_t k = 0; k < 3; ++k) {
          const auto dst = static_cast<std::uint8_t>((number_ + i + 3 * k) % kRegisters);
          const auto src = static_cast<std::uint8_t>((dst + (number_ + i + k) % 10) % kRegisters);
          block(dst, src, by_offset ? kOffsets[i] : plan_.immediates[i],
                by_offset && by_immediate ? plan_.immediates[i] : 0);
        }
      }
    } else {
      for (std::uint8_t dst = 0; dst < kRegisters; ++dst) {
        block(dst, static_cast<std::uint8_t>((dst + 1 + number_ % 9) % kRegisters), 0, 0);
        if (info_.source == bpf::Source::src_register) {
          block(dst, dst, 0, 0);
        }
      }
    }
    emit(set(0, 0));
    emit({.opcode = 0x95});
    made_.program.functions = {
        {.name = "main", .begin = 0, .end = static_cast<bpf::SlotIndex>(slots().size())}};
    return std::move(made_);
  }

 private:
  std::vector<Slot>& slots() { return made_.program.slots; }
  void emit(const Slot& slot) { slots().push_back(slot); }

  // `value` is the immediate, or the displacement of a memory access, whose immediate is `stored`.
  void block(std::uint8_t dst, std::uint8_t src, std::int32_t value, std::int32_t stored) {
    if (info_.source != bpf::Source::src_register && info_.form != Form::load) {
      src = 0;
    }
    Slot slot{.opcode = info_.opcode, .dst = dst, .src = src, .imm = value};
    if (info_.memory_bytes != 0) {
      slot.offset = static_cast<std::int16_t>(value);
      slot.imm = stored;
    }
    if (info_.source == bpf::Source::src_register) {
      slot.imm = 0;
    }
    if (info_.form == Form::branch) {
      slot.offset = 1;
    }
    bpf::select(info_, slot);
    const std::size_t begin = made_.memory.size();
    records(slot);
    loop(slot, begin);
    bpf::Program alone{.slots = {slot}, .functions = {{"main", 0, 1}}};
    made_.blocks += fmt::format("  mem+{:#x}: {}\n", begin, bpf::disassemble_instruction(alone, 0));
  }

  bool uses_b(const Slot& slot) const {
    return info_.source == bpf::Source::src_register && slot.src != slot.dst;
  }

  void records(const Slot& slot) {
    const std::vector<std::uint64_t> none = {0};
    std::size_t index = 0;
    for (const std::uint64_t a : plan_.operands) {
      for (const std::uint64_t b : uses_b(slot) ? plan_.operands : none) {
        const std::size_t at = made_.memory.size();
        made_.memory.resize(at + kRecordBytes);
        store(&made_.memory[at + kA], a, order_);
        store(&made_.memory[at + kB], b, order_);
        // What a compare-exchange expects: what is there, what is there in the lower half, else.
        const std::array<std::uint64_t, 3> expected = {a, a ^ std::uint64_t{1} << 40, b};
        store(&made_.memory[at + kR0], expected[index++ % 3], order_);
        made_.checks.emplace_back(number_, slot.dst, slot.src,
                                  info_.memory_bytes != 0 ? slot.offset : slot.imm, a, b);
      }
    }
  }

  void loop(const Slot& slot, std::size_t begin) {
    const Helpers helpers = helpers_beside(slot.dst, slot.src);
    emit(load_double(helpers.record, bpf::kFramePointer, kKeptPointer));
    emit(add(helpers.record, static_cast<std::int32_t>(begin)));
    emit(move(helpers.end, helpers.record));
    emit(add(helpers.end, static_cast<std::int32_t>(made_.memory.size() - begin)));
    const auto top = slots().size();
    switch (info_.form) {
      case Form::load:
        through_memory(slot, helpers, slot.src, kA);
        break;
      case Form::store:
      case Form::atomic:
        through_memory(slot, helpers, slot.dst, kCell);
        break;
      default:
        through_registers(slot, helpers);
    }
    emit(add(helpers.record, kRecordBytes));
    const auto back =
        static_cast<std::int64_t>(top) - static_cast<std::int64_t>(slots().size()) - 1;
    emit({.opcode = 0x5d,
          .dst = helpers.record,
          .src = helpers.end,
          .offset = static_cast<std::int16_t>(back)});
  }

  void through_registers(const Slot& slot, const Helpers& helpers) {
    if (uses_b(slot)) {
      emit(load_double(slot.src, helpers.record, kB));
    }
    emit(load_double(slot.dst, helpers.record, kA));
    if (info_.form == Form::branch) {
      emit(set(helpers.spare, 1));
      emit(slot);
      emit(set(helpers.spare, 0));
      emit(store_double(helpers.record, kTaken, helpers.spare));
    } else {
      emit(slot);
    }
    emit(store_double(helpers.record, kDst, slot.dst));
    if (uses_b(slot)) {
      emit(store_double(helpers.record, kSrc, slot.src));
    }
  }

  // With `base` such that the access is to `field` of the record.
  void through_memory(const Slot& slot, const Helpers& helpers, std::uint8_t base,
                      std::int16_t field) {
    if (info_.form == Form::atomic) {
      emit(load_double(helpers.spare, helpers.record, kA));
      emit(store_double(helpers.record, kCell, helpers.spare));
      emit(load_double(0, helpers.record, kR0));
    }
    if (uses_b(slot)) {
      emit(load_double(slot.src, helpers.record, kB));
    }
    emit(move(base, helpers.record));
    emit(add(base, field - slot.offset));
    emit(slot);
    if (info_.form == Form::load) {
      emit(store_double(helpers.record, kDst, slot.dst));
    } else if (info_.form == Form::atomic) {
      emit(store_double(helpers.record, kR0After, 0));
      emit(store_double(helpers.record, kSrc, slot.src));
    }
  }

  std::size_t number_;
  const bpf::InstructionInfo& info_;
  const SweepPlan& plan_;
  std::endian order_;
  SweepProgram made_;
};

}  // namespace

bool can_sweep(const bpf::InstructionInfo& info) {
  switch (info.form) {
    case Form::dst_source:
    case Form::dst:
    case Form::load:
    case Form::store:
    case Form::atomic:
    case Form::branch:
      return true;
    default:
      return false;
  }
}

SweepProgram sweep_program(std::size_t number, const SweepPlan& plan, std::endian order) {
  return Sweep(number, plan, order).make();
}

}  // namespace farcall::run
