#include "campaign/culprit.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>
#include <utility>
#include <vector>

#include "base/bits.hpp"
#include "bpf/disassembler.hpp"
#include "bpf/instruction.hpp"
#include "bpf/interpreter.hpp"

namespace farcall::campaign {
namespace {

using bpf::Form;
using bpf::InstructionInfo;
using bpf::Operation;
using bpf::Slot;

// Loops execute an instruction with other values each time.
constexpr std::size_t kMostExecutions = 256;

// Where memory goes: addresses of code need not be told from it.
constexpr std::string_view kMemoryRegion = "text+";
constexpr std::uint64_t kMemoryOffset = std::uint64_t{28} << 20;
constexpr GuestAddress kMemory = {0xc000'0000'0000'0000 + kMemoryOffset};
constexpr std::uint64_t kAlignment = 16;  // of an address, as far as it matters to an instruction

constexpr std::size_t kArguments = 5;  // r1 … r5 can be set from outside

// Small offsets, from the simplest on: each kind of alignment.
constexpr std::array<std::int16_t, 4> kOffsets = {0, 1, 2, 4};

// Numbers of each kind that code loads in its own way, from the simplest on.
constexpr std::array<std::int32_t, 10> kNumbers = {
    1, -1, 16, 0x1234, -0x1234, 0x8000, 0xffff, 0x10000, 0x12345678, -0x12345678};
constexpr std::array<std::int32_t, 4> kCounts = {1, 31, 32, 63};  // of shifts

// An instruction that was executed, with what its operands held.
struct Execution {
  Slot slot;
  Slot second;  // of an lddw
  std::uint64_t dst = 0, src = 0, r0 = 0;
  std::vector<std::byte> bytes = {};  // of memory, before it
  std::string trait;

  const InstructionInfo& info() const { return *bpf::find(slot); }
  bool loads() const { return info().form == Form::load; }
  std::uint8_t base() const { return loads() ? slot.src : slot.dst; }
  // What it accesses.
  std::uint64_t address() const {
    return (loads() ? src : dst) + static_cast<std::uint64_t>(std::int64_t{slot.offset});
  }

  friend bool operator==(const Execution&, const Execution&) = default;
};

bool can_be_alone(const InstructionInfo& info) {
  switch (info.form) {
    case Form::dst_source:
    case Form::dst:
    case Form::dst_imm64:
    case Form::load:
    case Form::store:
    case Form::atomic:
    case Form::branch:
      return true;
    case Form::dst_map:
    case Form::dst_value:
    case Form::dst_function:
    case Form::target:
    case Form::target32:
    case Form::pointer:
    case Form::local_callee:
    case Form::helper:
    case Form::kfunc:
    case Form::callee:
    case Form::nothing:
      return false;
  }
  return false;
}

std::vector<std::byte> bytes_at(const bpf::AddressSpace& memory, std::uint64_t address,
                                std::size_t count) {
  for (const bpf::MemoryRegion& region : memory.regions()) {
    const std::uint64_t at = address - region.address.value;
    if (at < region.bytes.size() && count <= region.bytes.size() - at) {
      const auto first = region.bytes.begin() + static_cast<std::ptrdiff_t>(at);
      return {first, first + static_cast<std::ptrdiff_t>(count)};
    }
  }
  return std::vector<std::byte>(count);
}

// What the interpreter executes of a cell, each once, in its order.
std::vector<Execution> executions(const model::Cell& cell) {
  std::vector<Execution> all;
  const bpf::Program& program = *cell.program;
  bpf::AddressSpace memory(cell.memory, byte_order(cell.axes.endian));
  const auto watch = [&](const bpf::InterpreterStep& step) {
    const Slot& slot = program.slots[step.slot];
    const InstructionInfo& info = *bpf::find(slot);
    const bool code_pointers = (step.code_pointers & (1U << slot.dst | 1U << slot.src | 1U)) != 0;
    if (!can_be_alone(info) || code_pointers || all.size() == kMostExecutions) {
      return;
    }
    Execution one{.slot = slot,
                  .second = info.loads64() ? program.slots[step.slot + 1] : Slot{},
                  .dst = step.registers[slot.dst],
                  .src = info.source == bpf::Source::src_register || info.form == Form::load
                             ? step.registers[slot.src]
                             : 0,
                  .r0 = step.registers[0],
                  .trait = trait(program, step.slot)};
    if (info.memory_bytes != 0) {
      one.bytes = bytes_at(memory, one.address(), info.memory_bytes);
    }
    if (std::ranges::find(all, one) == all.end()) {
      all.push_back(std::move(one));
    }
  };
  (void)bpf::interpret(program, cell.placement.functions, cell.arguments,
                       cell.placement.stack + model::kStackBytes, memory,
                       {.instructions = cell.budget, .watch = watch});
  return all;
}

// The program that one is alone in.
class Alone {
 public:
  // `renamed`: with the first registers in place of its own, which may be part of what is wrong.
  Alone(const Execution& one, bool renamed, const model::AxisValues& axes)
      : one_(one), info_(one.info()), slot_(one.slot), renamed_(renamed) {
    sketch_.axes = axes;
  }

  Sketch sketch() && {
    if (info_.form == Form::branch) {
      slot_.offset = 0;
    }
    if (info_.operation == Operation::compare_exchange) {
      put(0, one_.r0);
    }
    if (info_.memory_bytes != 0) {
      put_memory();
    } else if (info_.form == Form::dst_source || info_.form == Form::branch) {
      const std::uint8_t dst = slot_.dst;
      slot_.dst = put(dst, one_.dst);
      if (info_.source == bpf::Source::src_register) {
        slot_.src = one_.slot.src == dst ? slot_.dst : put(slot_.src, one_.src);
      }
    } else {
      slot_.dst = put(slot_.dst, one_.dst);
    }
    std::string text =
        bpf::disassemble_instruction({.slots = {slot_, one_.second}, .functions = {}}, 0);
    if (info_.form == Form::branch) {
      text.resize(text.rfind('+'));
      lines_.insert(lines_.end(), {"mov %r0, 0", text + "taken", "exit", "taken:", "mov %r0, 1"});
    } else {
      lines_.push_back(std::move(text));
      const std::optional<std::uint8_t> result = result_register();
      if (!result) {
        lines_.emplace_back("mov %r0, 0");
      } else if (*result != 0) {
        lines_.push_back(fmt::format("mov %r0, %r{}", *result));
      }
    }
    lines_.emplace_back("exit");
    sketch_.programs = {{.functions = {{.name = "main", .lines = std::move(lines_)}}}};
    return std::move(sketch_);
  }

 private:
  std::optional<std::uint8_t> result_register() const {
    return info_.writes_dst()                               ? std::optional(slot_.dst)
           : info_.writes_src()                             ? std::optional(slot_.src)
           : info_.operation == Operation::compare_exchange ? std::optional<std::uint8_t>(0)
                                                            : std::nullopt;
  }

  // Sees to it that a register holds `value`, and returns which.
  std::uint8_t put(std::uint8_t reg, std::uint64_t value) {
    const auto is_free = [&](std::size_t argument) {
      const bool wanted = !renamed_ && (argument == one_.slot.dst || argument == one_.slot.src);
      return !sketch_.registers[argument - 1] && !wanted;
    };
    std::size_t argument = 1;
    if (!renamed_ && reg >= 1 && reg <= kArguments) {
      argument = reg;
    } else {
      while (argument < kArguments && !is_free(argument)) {
        ++argument;
      }
    }
    sketch_.registers[argument - 1] = fmt::format("{:#x}", value);
    const bool must_move = reg == 0 ? info_.operation == Operation::compare_exchange || !renamed_
                                    : !renamed_ && reg > kArguments;
    if (must_move && reg != bpf::kFramePointer) {
      lines_.push_back(fmt::format("mov %r{}, %r{}", reg, argument));
      return reg;
    }
    return static_cast<std::uint8_t>(argument);
  }

  void put_memory() {
    // `mem` begins where the base register points if it can.
    const std::uint64_t accessed = kMemory.value + one_.address() % kAlignment;
    const std::uint64_t base = accessed - static_cast<std::uint64_t>(std::int64_t{slot_.offset});
    const std::uint64_t begin = std::min(accessed, base);
    std::vector<std::byte> bytes(accessed - begin);
    bytes.insert(bytes.end(), one_.bytes.begin(), one_.bytes.end());
    sketch_.mem = std::move(bytes);
    sketch_.places.emplace_back(
        "mem", fmt::format("{}{:#x}", kMemoryRegion, begin - (kMemory.value - kMemoryOffset)));
    std::uint8_t& base_register = one_.loads() ? slot_.src : slot_.dst;
    std::uint8_t& other = one_.loads() ? slot_.dst : slot_.src;
    const bool same = base_register == other;
    base_register = put(base_register, base);
    if (same) {
      other = base_register;
    } else if (info_.source == bpf::Source::src_register || one_.loads()) {
      other = put(other, one_.loads() ? one_.dst : one_.src);
    }
  }

  const Execution& one_;
  const InstructionInfo& info_;
  Slot slot_;
  bool renamed_;
  Sketch sketch_;
  std::vector<std::string> lines_;
};

// What leaves as much defined as an instruction does, and is none of its kind: lines, maybe none.
std::vector<std::string> placeholder(const bpf::Slot& slot) {
  const bpf::InstructionInfo& info = *bpf::find(slot);
  std::vector<std::string> lines;
  if (info.writes_dst() || info.writes_src()) {
    lines.push_back(fmt::format("mov %r{}, 0", info.writes_dst() ? slot.dst : slot.src));
  } else if (info.is_call() || info.operation == bpf::Operation::compare_exchange) {
    lines.emplace_back("mov %r0, 0");
  } else if (info.form == bpf::Form::store && info.memory_bytes > 1) {
    for (int i = 0; i < info.memory_bytes; ++i) {
      lines.push_back(fmt::format("stb [%r{}{:+}], 0", slot.dst, slot.offset + i));
    }
  }
  return lines;
}

class Search {
 public:
  Search(Trial& trial, const Sketch& sketch, std::uint64_t seed, ErrorCode code)
      : trial_(trial), sketch_(sketch), seed_(seed), code_(code) {}

  std::optional<Culprit> run() {
    const auto cell = cell_of(sketch_);
    if (!cell) {
      return std::nullopt;
    }
    const std::vector<Execution> all = executions(cell.value());
    for (const bool renamed : {true, false}) {
      renamed_ = renamed;
      const std::vector<Seen> seen = run_alone(all);
      const auto first = std::ranges::find(seen, true, &Seen::fails);
      if (first == seen.end()) {
        continue;
      }
      const Execution& guilty = all[static_cast<std::size_t>(first - seen.begin())];
      const Execution simple = with_simple_offset(with_simple_number(with_register(guilty)));
      auto reduced = reduce(trial_, Alone(simple, renamed_, sketch_.axes).sketch(), seed_);
      if (!reduced) {
        return std::nullopt;
      }
      if (reduced.value().shape.empty()) {
        reduced.value().shape = simple.trait;  // of what every program has
      }
      return Culprit{.reduced = std::move(reduced).value(), .seen = guilty.trait};
    }
    return std::nullopt;
  }

 private:
  struct Seen {
    bool fails = false;
    std::vector<std::string_view> code;  // mnemonics
  };

  std::vector<Seen> run_alone(std::span<const Execution> all) {
    std::vector<Seen> result(all.size());
    std::vector<Trial::Run> runs;
    std::vector<std::size_t> whose;
    for (std::size_t i = 0; i < all.size(); ++i) {
      auto cell = cell_of(Alone(all[i], renamed_, sketch_.axes).sketch());
      if (cell) {
        runs.push_back({.document = {.cell = std::move(cell).value()}, .seed = seed_});
        whose.push_back(i);
      }
    }
    const auto seen = trial_.run(std::move(runs));
    for (std::size_t i = 0; i < seen.size(); ++i) {
      if (!seen[i] || seen[i]->verdict.outcome != model::Outcome::fail) {
        continue;
      }
      Seen& of = result[whose[i]];
      of.fails = may_come_of(code_, most_telling(seen[i]->verdict).code);
      if (seen[i]->testimony.image) {
        for (const std::uint32_t word : seen[i]->testimony.image->functions.front().words) {
          of.code.push_back(row_mnemonic(word));
        }
      }
    }
    return result;
  }

  // The first of these that fails; `otherwise` if none does. `same_code`: only those whose code has
  // the instructions that the code of `otherwise` has.
  Execution first_failing(std::vector<Execution> all, const Execution& otherwise, bool same_code) {
    all.push_back(otherwise);
    const std::vector<Seen> seen = run_alone(all);
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (seen[i].fails && (!same_code || seen[i].code == seen.back().code)) {
        return all[i];
      }
    }
    return otherwise;
  }

  // The row with a register, whose opcode differs by a bit, in place of one with a number.
  Execution with_register(const Execution& one) {
    const InstructionInfo& info = one.info();
    if (info.source != bpf::Source::immediate) {
      return one;
    }
    Execution other = one;
    other.slot.opcode ^= info.form == Form::store ? 0x01 : 0x08;
    other.slot.imm = 0;
    other.slot.src = one.slot.dst == 2 ? 3 : 2;
    other.src = static_cast<std::uint64_t>(std::int64_t{one.slot.imm});
    const InstructionInfo* const row = bpf::find(other.slot);
    if (row == nullptr || row->form != info.form || row->source != bpf::Source::src_register) {
      return one;
    }
    other.trait = trait({.slots = {other.slot}, .functions = {}}, 0);
    return first_failing({other}, one, false);
  }

  Execution with_simple_number(const Execution& one) {
    const InstructionInfo& info = one.info();
    if (info.source != bpf::Source::immediate) {
      return one;
    }
    const bool shifts = info.operation == Operation::lsh || info.operation == Operation::rsh ||
                        info.operation == Operation::arsh;
    std::vector<Execution> others;
    for (const std::int32_t number : shifts ? std::span<const std::int32_t>(kCounts)
                                            : std::span<const std::int32_t>(kNumbers)) {
      if (!shifts || number < info.width) {
        Execution other = one;
        other.slot.imm = number;
        other.trait = trait({.slots = {other.slot}, .functions = {}}, 0);
        others.push_back(std::move(other));
      }
    }
    return first_failing(std::move(others), one, true);
  }

  // The same address, made otherwise. Zeros look alike wherever they are read.
  Execution with_simple_offset(const Execution& one) {
    if (one.info().memory_bytes == 0) {
      return one;
    }
    std::vector<std::byte> distinct(one.bytes.size());
    for (std::size_t i = 0; i < distinct.size(); ++i) {
      distinct[i] = static_cast<std::byte>(i + 1);
    }
    std::vector<Execution> others;
    for (const std::vector<std::byte>& bytes : {one.bytes, distinct}) {
      for (const std::int16_t offset : kOffsets) {
        Execution other = one;
        (one.loads() ? other.src : other.dst) =
            one.address() - static_cast<std::uint64_t>(std::int64_t{offset});
        other.slot.offset = offset;
        other.bytes = bytes;
        other.trait = trait({.slots = {other.slot}, .functions = {}}, 0);
        others.push_back(std::move(other));
      }
    }
    return first_failing(std::move(others), one, true);
  }

  Trial& trial_;
  const Sketch& sketch_;
  std::uint64_t seed_;
  ErrorCode code_;
  bool renamed_ = true;
};

}  // namespace

Sketch without(const Sketch& sketch, const bpf::Program& program,
               const std::vector<std::string>& culprit) {
  Sketch left = sketch;
  bpf::SlotIndex at = 0;
  for (SketchProgram& part : left.programs) {
    for (SketchFunction& function : part.functions) {
      std::vector<std::string> lines;
      for (std::string& line : function.lines) {
        if (is_label(line) || is_table(line) || at >= program.slots.size()) {
          lines.push_back(std::move(line));
          continue;
        }
        const bpf::SlotIndex slot = at;
        at += bpf::slots_of(program.slots[at].opcode);
        if (program.slots[slot].opcode != 0x95 &&
            std::ranges::find(culprit, trait(program, slot)) != culprit.end()) {
          std::ranges::move(placeholder(program.slots[slot]), std::back_inserter(lines));
        } else {
          lines.push_back(std::move(line));
        }
      }
      function.lines = std::move(lines);
    }
  }
  return tidied(std::move(left));
}

std::optional<Culprit> find_culprit(Trial& trial, const Sketch& sketch, std::uint64_t seed,
                                    const FindingKind& kind) {
  if (is_about_layout(kind.code) ||
      (kind.site != SiteKind::none && !is_seen_by_running(kind.code))) {
    return std::nullopt;
  }
  return Search(trial, sketch, seed, kind.code).run();
}

}  // namespace farcall::campaign
