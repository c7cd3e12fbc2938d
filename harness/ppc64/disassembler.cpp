#include "ppc64/disassembler.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <span>
#include <string_view>
#include <vector>

#include "ppc64/instruction.hpp"
#include "ppc64/prefixed.hpp"

namespace farcall::ppc64 {
namespace {

// An extended mnemonic: what a row is called if its operands are as `applies` says.
struct Alias {
  Op op{};
  std::string_view mnemonic;
  bool (*applies)(std::uint32_t word) = nullptr;
  std::array<Operand, 3> operands = {};
  std::uint8_t operand_count = 0;
  std::uint8_t last_is_below = 0;  // if not 0, the last operand is written as this minus its value

  constexpr Alias(Op row, std::string_view text, bool (*test)(std::uint32_t),
                  std::initializer_list<Operand> list, std::uint8_t below = 0)
      : op(row), mnemonic(text), applies(test), last_is_below(below) {
    for (const Operand operand : list) {
      operands[operand_count++] = operand;
    }
  }
};

template <Operand operand, std::int64_t value>
constexpr bool is(std::uint32_t word) {
  return extract(operand, word) == value;
}
constexpr bool rs_is_rb(std::uint32_t word) {
  return extract(Operand::rs, word) == extract(Operand::rb, word);
}
template <std::uint32_t expected>
constexpr bool is_word(std::uint32_t word) {
  return word == expected;
}

constexpr bool is_right_shift64(std::uint32_t word) {
  return extract(Operand::sh6, word) + extract(Operand::mb6, word) == 64;
}
constexpr bool is_left_shift64(std::uint32_t word) {
  return extract(Operand::sh6, word) + extract(Operand::mb6, word) == 63;
}
constexpr bool is_rotate32(std::uint32_t word) {
  return is<Operand::mb5, 0>(word) && is<Operand::me5, 31>(word);
}
constexpr bool clears_left32(std::uint32_t word) {
  return is<Operand::sh5, 0>(word) && is<Operand::me5, 31>(word);
}
constexpr bool clears_right32(std::uint32_t word) {
  return is<Operand::sh5, 0>(word) && is<Operand::mb5, 0>(word);
}
constexpr bool is_left_shift32(std::uint32_t word) {
  return is<Operand::mb5, 0>(word) &&
         extract(Operand::sh5, word) + extract(Operand::me5, word) == 31;
}
constexpr bool is_right_shift32(std::uint32_t word) {
  return is<Operand::me5, 31>(word) &&
         extract(Operand::sh5, word) + extract(Operand::mb5, word) == 32;
}

// The first that applies is taken.
constexpr auto kAliases = [] {
  using enum Operand;
  return std::array{
      Alias{Op::addi, "li", is<ra0, 0>, {rt, si}},
      Alias{Op::addis, "lis", is<ra0, 0>, {rt, si}},
      Alias{Op::ori, "nop", is_word<0x60000000>, {}},
      Alias{Op::ori, "exser", is_word<0x63ff0000>, {}},
      Alias{Op::xori, "xnop", is_word<0x68000000>, {}},
      Alias{Op::or_, "miso", is_word<0x7f5ad378>, {}},
      Alias{Op::or_, "yield", is_word<0x7f7bdb78>, {}},
      Alias{Op::or_, "mdoio", is_word<0x7fbdeb78>, {}},
      Alias{Op::or_, "mdoom", is_word<0x7fdef378>, {}},
      Alias{Op::or_, "mr", rs_is_rb, {ra_dest, rs}},
      Alias{Op::nor, "not", rs_is_rb, {ra_dest, rs}},
      Alias{Op::rldicl, "rotldi", is<mb6, 0>, {ra_dest, rs, sh6}},
      Alias{Op::rldicl, "clrldi", is<sh6, 0>, {ra_dest, rs, mb6}},
      Alias{Op::rldicl, "srdi", is_right_shift64, {ra_dest, rs, mb6}},
      Alias{Op::rldicr, "clrrdi", is<sh6, 0>, {ra_dest, rs, mb6}, 63},
      Alias{Op::rldicr, "sldi", is_left_shift64, {ra_dest, rs, sh6}},
      Alias{Op::rldcl, "rotld", is<mb6, 0>, {ra_dest, rs, rb}},
      Alias{Op::rlwinm, "rotlwi", is_rotate32, {ra_dest, rs, sh5}},
      Alias{Op::rlwinm, "clrlwi", clears_left32, {ra_dest, rs, mb5}},
      Alias{Op::rlwinm, "clrrwi", clears_right32, {ra_dest, rs, me5}, 31},
      Alias{Op::rlwinm, "slwi", is_left_shift32, {ra_dest, rs, sh5}},
      Alias{Op::rlwinm, "srwi", is_right_shift32, {ra_dest, rs, mb5}},
      Alias{Op::rlwnm, "rotlw", is_rotate32, {ra_dest, rs, rb}},
      Alias{Op::mtcrf, "mtcr", is<fxm, 0xff>, {rs}},
      Alias{Op::isel, "isellt", is<bc, 0>, {rt, ra0, rb}},
      Alias{Op::isel, "iselgt", is<bc, 1>, {rt, ra0, rb}},
      Alias{Op::isel, "iseleq", is<bc, 2>, {rt, ra0, rb}},
      Alias{Op::tw, "trap", is_word<kTrapWord>, {}},
      Alias{Op::tw, "twlgt", is<to, 1>, {ra, rb}},
      Alias{Op::tw, "twllt", is<to, 2>, {ra, rb}},
      Alias{Op::tw, "tweq", is<to, 4>, {ra, rb}},
      Alias{Op::tw, "twlge", is<to, 5>, {ra, rb}},
      Alias{Op::tw, "twlle", is<to, 6>, {ra, rb}},
      Alias{Op::tw, "twgt", is<to, 8>, {ra, rb}},
      Alias{Op::tw, "twge", is<to, 12>, {ra, rb}},
      Alias{Op::tw, "twlt", is<to, 16>, {ra, rb}},
      Alias{Op::tw, "twle", is<to, 20>, {ra, rb}},
      Alias{Op::tw, "twne", is<to, 24>, {ra, rb}},
      Alias{Op::tw, "twu", is<to, 31>, {ra, rb}},
      Alias{Op::td, "tdlgt", is<to, 1>, {ra, rb}},
      Alias{Op::td, "tdllt", is<to, 2>, {ra, rb}},
      Alias{Op::td, "tdeq", is<to, 4>, {ra, rb}},
      Alias{Op::td, "tdlge", is<to, 5>, {ra, rb}},
      Alias{Op::td, "tdlle", is<to, 6>, {ra, rb}},
      Alias{Op::td, "tdgt", is<to, 8>, {ra, rb}},
      Alias{Op::td, "tdge", is<to, 12>, {ra, rb}},
      Alias{Op::td, "tdlt", is<to, 16>, {ra, rb}},
      Alias{Op::td, "tdle", is<to, 20>, {ra, rb}},
      Alias{Op::td, "tdne", is<to, 24>, {ra, rb}},
      Alias{Op::td, "tdu", is<to, 31>, {ra, rb}},
  };
}();

std::string cr_bit_text(std::int64_t bit) {
  const std::string_view condition = kConditionNames[static_cast<std::size_t>(bit % 4)];
  return bit < 4 ? std::string(condition) : fmt::format("4*cr{}+{}", bit / 4, condition);
}

std::string operand_text(Operand operand, std::int64_t value, GuestAddress at) {
  switch (operand_info(operand).kind) {
    case OperandKind::gpr:
      return std::string(name(static_cast<Gpr>(value)));
    case OperandKind::gpr_or_zero:
      return value == 0 ? "0" : std::string(name(static_cast<Gpr>(value)));
    case OperandKind::fpr:
      return fmt::format("f{}", value);
    case OperandKind::vr:
      return fmt::format("v{}", value);
    case OperandKind::cr_field:
      return std::string(kCrFieldNames[static_cast<std::size_t>(value)]);
    case OperandKind::cr_bit:
      return cr_bit_text(value);
    case OperandKind::number:
    case OperandKind::memory:
      return std::to_string(value);
    case OperandKind::relative:
      return fmt::format("{:#x}", (at + static_cast<Displacement>(value)).value);
    case OperandKind::absolute:
      return fmt::format("{:#x}", static_cast<std::uint64_t>(value));
  }
  return {};
}

// An operand as it will be written.
struct Written {
  std::string text;
  bool optional = false;  // left out at its default, if all that follow are left out as well
  bool is_default = false;
  bool displacement = false;  // the base follows in parentheses
};

Written written(Operand operand, std::int64_t value, GuestAddress at) {
  const OperandInfo info = operand_info(operand);
  return {operand_text(operand, value, at), info.omit_zero, info.omit_zero && value == 0,
          info.kind == OperandKind::memory};
}

std::string line(std::string_view mnemonic, std::span<const Written> operands) {
  std::string text;
  bool in_parentheses = false;
  for (std::size_t i = 0; i < operands.size(); ++i) {
    const auto rest = operands.subspan(i);
    if (operands[i].is_default &&
        std::ranges::none_of(rest, [](const Written& w) { return w.optional && !w.is_default; })) {
      continue;
    }
    if (in_parentheses) {
      text += '(' + operands[i].text + ')';
    } else {
      text += (text.empty() ? "" : ",") + operands[i].text;
    }
    in_parentheses = operands[i].displacement;
  }
  return text.empty() ? std::string(mnemonic) : fmt::format("{:<7} {}", mnemonic, text);
}

// The parts of a branch's condition, Power ISA 2.07 Book I, figure 40 (BO field encodings).
struct BranchCondition {
  bool tests_cr = false;
  bool tests_ctr = false;
  std::string_view hint;  // "+": likely taken, "-": unlikely
  std::string_view name;  // without the leading b: `ne`, `dnz`, `dnzt`; empty if there is none
};

BranchCondition branch_condition(std::int64_t bo, std::int64_t bi) {
  static constexpr std::array<std::string_view, 4> kIfFalse = {"ge", "le", "ne", "ns"};
  const auto condition = static_cast<std::size_t>(bi % 4);
  switch (bo) {
    case 0:
      return {true, true, "", "dnzf"};
    case 2:
      return {true, true, "", "dzf"};
    case 4:
      return {true, false, "", kIfFalse[condition]};
    case 6:
      return {true, false, "-", kIfFalse[condition]};
    case 7:
      return {true, false, "+", kIfFalse[condition]};
    case 8:
      return {true, true, "", "dnzt"};
    case 10:
      return {true, true, "", "dzt"};
    case 12:
      return {true, false, "", kConditionNames[condition]};
    case 14:
      return {true, false, "-", kConditionNames[condition]};
    case 15:
      return {true, false, "+", kConditionNames[condition]};
    case 16:
      return {false, true, "", "dnz"};
    case 18:
      return {false, true, "", "dz"};
    case 24:
      return {false, true, "-", "dnz"};
    case 25:
      return {false, true, "+", "dnz"};
    case 26:
      return {false, true, "-", "dz"};
    case 27:
      return {false, true, "+", "dz"};
    default:
      return {};
  }
}

std::string conditional_branch(const Instruction& row, std::uint32_t word, GuestAddress at) {
  const std::int64_t bo = extract(Operand::bo, word);
  const std::int64_t bi = extract(Operand::bi, word);
  const Operand last = row.operands[2];
  const Written destination = written(last, extract(last, word), at);
  const std::string_view suffix = row.mnemonic.substr(2);  // after `bc`: l, a, lr, ctrl …
  const BranchCondition condition = branch_condition(bo, bi);

  const bool to_register =
      row.target == BranchTarget::link_register || row.target == BranchTarget::count_register;
  if (bo == kBranchAlways && bi == 0 && to_register) {
    return line(fmt::format("b{}", suffix), std::array{destination});
  }
  const bool has_name = !condition.name.empty() && (condition.tests_cr || bi == 0) &&
                        !(condition.tests_ctr && row.target == BranchTarget::count_register);
  if (!has_name) {
    return line(fmt::format("{}{}", row.mnemonic, condition.hint),
                std::array{Written{std::to_string(bo)}, Written{cr_bit_text(bi)}, destination});
  }
  const std::string mnemonic = fmt::format("b{}{}{}", condition.name, suffix, condition.hint);
  if (!condition.tests_cr) {
    return line(mnemonic, std::array{destination});
  }
  const Written bit =
      condition.tests_ctr ? Written{cr_bit_text(bi)} : written(Operand::bf, bi / 4, at);
  return line(mnemonic, std::array{bit, destination});
}

}  // namespace

std::string disassemble(std::uint32_t word, GuestAddress at) {
  const Instruction* const row = find(word);
  if (row == nullptr) {
    return fmt::format(".long {:#x}", word);
  }
  if (row->is_branch() && row->operands[0] == Operand::bo) {
    return conditional_branch(*row, word, at);
  }
  const auto* const alias = std::ranges::find_if(kAliases, [&](const Alias& candidate) {
    return candidate.op == row->op && candidate.applies(word);
  });
  const bool has_alias = alias != kAliases.end();
  const auto operands = has_alias ? std::span(alias->operands).first(alias->operand_count)
                                  : std::span(row->operands).first(row->operand_count);
  std::vector<Written> texts;
  for (const Operand operand : operands) {
    std::int64_t value = extract(operand, word);
    if (has_alias && alias->last_is_below != 0 && texts.size() + 1 == operands.size()) {
      value = alias->last_is_below - value;
    }
    texts.push_back(written(operand, value, at));
  }
  const bool records = row->encoding.record_bit && (word & 1) != 0;
  return line(fmt::format("{}{}", has_alias ? alias->mnemonic : row->mnemonic, records ? "." : ""),
              texts);
}

std::string disassemble(std::span<const std::uint32_t> words, GuestAddress at) {
  if (instruction_words(words) == 1) {
    return disassemble(words[0], at);
  }
  const PrefixedInstruction* const row = find(PrefixedWords{words[0], words[1]});
  if (row == nullptr) {
    return fmt::format(".long {:#x},{:#x}", words[0], words[1]);
  }
  const PrefixedOperands operands = operands_of({words[0], words[1]});
  const std::string_view rt = name(operands.rt);
  if (operands.pc_relative) {
    return fmt::format("{:<7} {},{}\t# {:x}", "pla", rt, operands.displacement,
                       (at + static_cast<Displacement>(operands.displacement)).value);
  }
  if (operands.ra == Gpr::r0) {
    return fmt::format("{:<7} {},{}", "pli", rt, operands.displacement);
  }
  return fmt::format("{:<7} {},{},{}", row->mnemonic, rt, name(operands.ra), operands.displacement);
}

}  // namespace farcall::ppc64
