#include "show/llvm_syntax.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <initializer_list>

#include "ppc64/instruction.hpp"
#include "ppc64/prefixed.hpp"

namespace farcall::show {
namespace {

using ppc64::extract;
using ppc64::Instruction;
using ppc64::Op;
using ppc64::Operand;

template <Operand operand, std::int64_t value>
constexpr bool has(std::uint32_t word) {
  return extract(operand, word) == value;
}
constexpr bool any(std::uint32_t /*word*/) {
  return true;
}
constexpr bool does_not_record(std::uint32_t word) {
  return (word & 1) == 0;
}
constexpr bool copies(std::uint32_t word) {
  return extract(Operand::rs, word) == extract(Operand::rb, word);
}
constexpr bool shifts_left64(std::uint32_t word) {
  return does_not_record(word) && extract(Operand::sh6, word) + extract(Operand::mb6, word) == 63;
}
constexpr bool shifts_left32(std::uint32_t word) {
  return does_not_record(word) && has<Operand::mb5, 0>(word) &&
         extract(Operand::sh5, word) + extract(Operand::me5, word) == 31;
}
constexpr bool shifts_right32(std::uint32_t word) {
  return does_not_record(word) && has<Operand::me5, 31>(word) &&
         extract(Operand::sh5, word) + extract(Operand::mb5, word) == 32;
}
constexpr bool rotates32(std::uint32_t word) {
  return has<Operand::mb5, 0>(word) && has<Operand::me5, 31>(word);
}
constexpr bool clears_left32(std::uint32_t word) {
  return has<Operand::sh5, 0>(word) && has<Operand::me5, 31>(word);
}

// What LLVM writes in the place of a row of the instruction table. After an alias of its assembler
// it has a tab, after an instruction a space.
struct Spelling {
  Op op{};
  std::string_view mnemonic;  // with what comes after it
  bool (*applies)(std::uint32_t word) = any;
  std::array<Operand, 3> operands = {};
  std::uint8_t operand_count = 0;

  constexpr Spelling(Op row, std::string_view text, bool (*test)(std::uint32_t),
                     std::initializer_list<Operand> list)
      : op(row), mnemonic(text), applies(test) {
    for (const Operand operand : list) {
      operands[operand_count++] = operand;
    }
  }
};

// The first that applies is taken.
constexpr auto kSpellings = [] {
  using enum Operand;
  return std::array{
      Spelling{Op::addi, "li ", has<ra0, 0>, {rt, si}},
      Spelling{Op::addis, "lis ", has<ra0, 0>, {rt, si}},
      Spelling{Op::ori, "nop", [](std::uint32_t word) { return word == 0x60000000; }, {}},
      Spelling{Op::xori, "xnop", [](std::uint32_t word) { return word == 0x68000000; }, {}},
      Spelling{Op::or_, "mr\t", copies, {ra_dest, rs}},
      Spelling{Op::nor, "not\t", copies, {ra_dest, rs}},
      Spelling{Op::subf, "sub\t", any, {rt, rb, ra}},
      Spelling{Op::cntlzw, "cntlzw\t", any, {ra_dest, rs}},
      Spelling{Op::cmplwi, "cmplwi\t", has<bf, 0>, {ra, ui}},
      Spelling{Op::cmpldi, "cmpldi\t", has<bf, 0>, {ra, ui}},
      Spelling{Op::cmpwi, "cmpwi\t", has<bf, 0>, {ra, si}},
      Spelling{Op::cmpdi, "cmpdi\t", has<bf, 0>, {ra, si}},
      Spelling{Op::cmpw, "cmpw\t", has<bf, 0>, {ra, rb}},
      Spelling{Op::cmpd, "cmpd\t", has<bf, 0>, {ra, rb}},
      Spelling{Op::cmplw, "cmplw\t", has<bf, 0>, {ra, rb}},
      Spelling{Op::cmpld, "cmpld\t", has<bf, 0>, {ra, rb}},
      Spelling{Op::rldicl, "rotldi\t", has<mb6, 0>, {ra_dest, rs, sh6}},
      Spelling{Op::rldicl, "clrldi\t", has<sh6, 0>, {ra_dest, rs, mb6}},
      Spelling{Op::rldicr, "sldi ", shifts_left64, {ra_dest, rs, sh6}},
      Spelling{Op::rldcl, "rotld\t", has<mb6, 0>, {ra_dest, rs, rb}},
      Spelling{Op::rlwinm, "slwi ", shifts_left32, {ra_dest, rs, sh5}},
      Spelling{Op::rlwinm, "srwi ", shifts_right32, {ra_dest, rs, mb5}},
      Spelling{Op::rlwinm, "rotlwi\t", rotates32, {ra_dest, rs, sh5}},
      Spelling{Op::rlwinm, "clrlwi\t", clears_left32, {ra_dest, rs, mb5}},
      Spelling{Op::rlwnm, "rotlw\t", rotates32, {ra_dest, rs, rb}},
      Spelling{Op::mtcrf, "mtcr\t", has<fxm, 0xff>, {rs}},
      Spelling{Op::mfxer, "mfxer\t", any, {rt}},
      Spelling{Op::mtxer, "mtxer\t", any, {rs}},
      Spelling{Op::mtfprd, "mtfprd\t", any, {frt, ra}},
      Spelling{Op::isel, "isellt\t", has<bc, 0>, {rt, ra0, rb}},
      Spelling{Op::isel, "iselgt\t", has<bc, 1>, {rt, ra0, rb}},
      Spelling{Op::isel, "iseleq\t", has<bc, 2>, {rt, ra0, rb}},
      Spelling{Op::hwsync, "sync", any, {}},
      Spelling{Op::tw, "trap", [](std::uint32_t word) { return word == ppc64::kTrapWord; }, {}},
      Spelling{Op::tw, "twlgt\t", has<to, 1>, {ra, rb}},
      Spelling{Op::tw, "twllt\t", has<to, 2>, {ra, rb}},
      Spelling{Op::tw, "tweq\t", has<to, 4>, {ra, rb}},
      Spelling{Op::tw, "twgt\t", has<to, 8>, {ra, rb}},
      Spelling{Op::tw, "twlt\t", has<to, 16>, {ra, rb}},
      Spelling{Op::tw, "twne\t", has<to, 24>, {ra, rb}},
      Spelling{Op::tw, "twu\t", has<to, 31>, {ra, rb}},
      Spelling{Op::td, "tdlgt\t", has<to, 1>, {ra, rb}},
      Spelling{Op::td, "tdllt\t", has<to, 2>, {ra, rb}},
      Spelling{Op::td, "tdeq\t", has<to, 4>, {ra, rb}},
      Spelling{Op::td, "tdgt\t", has<to, 8>, {ra, rb}},
      Spelling{Op::td, "tdlt\t", has<to, 16>, {ra, rb}},
      Spelling{Op::td, "tdne\t", has<to, 24>, {ra, rb}},
      Spelling{Op::td, "tdu\t", has<to, 31>, {ra, rb}},
  };
}();

// Whether an operand is a number that may come of an address.
bool may_be_of_an_address(Operand operand) {
  switch (operand) {
    case Operand::si:
    case Operand::ui:
    case Operand::d:
    case Operand::ds:
    case Operand::li:
    case Operand::bd:
      return true;
    default:
      return false;
  }
}

std::string operand_text(Operand operand, std::uint32_t word, std::string_view number) {
  const std::int64_t value = extract(operand, word);
  switch (ppc64::operand_info(operand).kind) {
    case ppc64::OperandKind::absolute:
      return "{{.*}}";
    case ppc64::OperandKind::relative:
      return number.empty() ? fmt::format(".{:+}", value) : std::string(number);
    default:
      return !number.empty() && may_be_of_an_address(operand) ? std::string(number)
                                                              : std::to_string(value);
  }
}

std::string operands_text(std::span<const Operand> operands, std::uint32_t word,
                          std::string_view number) {
  std::string text;
  bool in_parentheses = false;
  for (const Operand operand : operands) {
    const std::string one = operand_text(operand, word, number);
    text += in_parentheses ? '(' + one + ')' : (text.empty() ? "" : ", ") + one;
    in_parentheses = ppc64::operand_info(operand).kind == ppc64::OperandKind::memory;
  }
  return text;
}

// The mnemonic of a conditional branch with this BO, between `b` and `l`, `a` or `lr`; empty if
// LLVM has none.
std::string_view condition_name(std::int64_t bo) {
  static constexpr std::array<std::string_view, 32> kNames = {
      "dnzf", "", "dzf", "", "f", "", "f-", "f+", "dnzt", "",     "dzt", "",    "t", "", "t-", "t+",
      "dnz",  "", "dz",  "", "",  "", "",   "",   "dnz-", "dnz+", "dz-", "dz+", "",  "", "",   ""};
  return kNames[static_cast<std::size_t>(bo)];
}

// LLVM's hint comes after the whole mnemonic: `bdnzlr-`.
std::string branch_mnemonic(std::string_view name, std::string_view suffix) {
  const bool hinted = name.ends_with('-') || name.ends_with('+');
  return fmt::format("b{}{}{}", name.substr(0, name.size() - (hinted ? 1 : 0)), suffix,
                     hinted ? name.substr(name.size() - 1) : "");
}

std::string conditional_branch(const Instruction& row, std::uint32_t word,
                               std::string_view number) {
  const std::int64_t bo = extract(Operand::bo, word);
  const std::int64_t bi = extract(Operand::bi, word);
  const std::string_view suffix = row.mnemonic.substr(2);  // after `bc`: l, a, lr, ctr …
  const std::string_view name = condition_name(bo);
  const bool tests_cr = (bo & 16) == 0;
  if (row.target == ppc64::BranchTarget::relative || row.target == ppc64::BranchTarget::absolute) {
    const Operand target = row.operands[2];
    if (!name.empty() && (tests_cr || bi == 0)) {
      const std::string mnemonic = branch_mnemonic(name, suffix);
      return tests_cr ? fmt::format("{}\t{}", mnemonic,
                                    operands_text(std::array{Operand::bi, target}, word, number))
                      : fmt::format("{} {}", mnemonic, operand_text(target, word, number));
    }
    return fmt::format("{} {}", row.mnemonic,
                       operands_text(std::array{Operand::bo, Operand::bi, target}, word, number));
  }
  if (extract(Operand::bh, word) != 0) {
    return fmt::format(
        "{} {}", row.mnemonic,
        operands_text(std::array{Operand::bo, Operand::bi, Operand::bh}, word, number));
  }
  if (bo == ppc64::kBranchAlways && bi == 0) {
    return fmt::format("b{}", suffix);
  }
  if (!name.empty() && !tests_cr && bi == 0 && row.target == ppc64::BranchTarget::link_register) {
    return branch_mnemonic(name, suffix);
  }
  return fmt::format("{}\t{}", row.mnemonic,
                     operands_text(std::array{Operand::bo, Operand::bi}, word, number));
}

std::optional<std::string> prefixed(std::span<const std::uint32_t> words, std::string_view number) {
  const ppc64::PrefixedWords pair = {words[0], words[1]};
  if (ppc64::find(pair) == nullptr) {
    return std::nullopt;
  }
  const ppc64::PrefixedOperands operands = ppc64::operands_of(pair);
  const auto rt = static_cast<unsigned>(operands.rt);
  const auto ra = static_cast<unsigned>(operands.ra);
  const std::string displacement =
      number.empty() ? std::to_string(operands.displacement) : std::string(number);
  if (!operands.pc_relative && ra == 0) {
    return fmt::format("pli {}, {}", rt, displacement);
  }
  return fmt::format("paddi {}, {}, {}, {}", rt, ra, displacement, operands.pc_relative ? 1 : 0);
}

}  // namespace

std::optional<std::string> llvm_syntax(std::span<const std::uint32_t> words,
                                       std::string_view in_place_of_number) {
  const std::uint32_t word = words[0];
  if (ppc64::instruction_words(words) == 2) {
    return prefixed(words, in_place_of_number);
  }
  const Instruction* const row = ppc64::find(word);
  if (row == nullptr) {
    return std::nullopt;
  }
  if (row->is_branch() && row->operands[0] == Operand::bo) {
    return conditional_branch(*row, word, in_place_of_number);
  }
  const std::string_view dot = row->encoding.record_bit && (word & 1) != 0 ? "." : "";
  const auto* const spelling = std::ranges::find_if(
      kSpellings, [&](const Spelling& one) { return one.op == row->op && one.applies(word); });
  if (spelling != kSpellings.end()) {
    const std::size_t end = spelling->mnemonic.find_first_of("\t ");
    const auto operands = std::span(spelling->operands).first(spelling->operand_count);
    return fmt::format("{}{}{}{}", spelling->mnemonic.substr(0, end), dot,
                       operands.empty() ? "" : spelling->mnemonic.substr(end),
                       operands_text(operands, word, in_place_of_number));
  }
  const bool omits_operand = row->op == Op::sc && has<Operand::lev, 0>(word);
  const auto operands = std::span(row->operands).first(omits_operand ? 0 : row->operand_count);
  return fmt::format("{}{}{}{}", row->mnemonic, dot, operands.empty() ? "" : " ",
                     operands_text(operands, word, in_place_of_number));
}

}  // namespace farcall::show
