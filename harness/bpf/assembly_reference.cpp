#include "bpf/assembly_reference.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "bpf/instruction.hpp"

namespace farcall::bpf {
namespace {

struct Meaning {
  Operation operation;
  std::string_view text;
};

// In the order of Operation.
constexpr auto kMeanings = [] {
  using enum Operation;
  return std::array{
      Meaning{add, "dst += source"},
      Meaning{sub, "dst -= source"},
      Meaning{mul, "dst *= source"},
      Meaning{div, "dst /= source, without sign; by 0 it is 0"},
      Meaning{signed_div, "dst /= source, with sign, rounded towards 0; by 0 it is 0"},
      Meaning{bit_or, "dst |= source"},
      Meaning{bit_and, "dst &= source"},
      Meaning{lsh, "dst <<= source"},
      Meaning{rsh, "dst >>= source, zeros come in"},
      Meaning{neg, "dst = -dst"},
      Meaning{mod, "dst %= source, without sign; by 0 dst stays"},
      Meaning{signed_mod, "dst %= source, with sign, that of dst; by 0 dst stays"},
      Meaning{bit_xor, "dst ^= source"},
      Meaning{mov, "dst = source"},
      Meaning{mov_signed, "dst = the low 8, 16 or 32 bits of src, extended by sign to 64 or 32"},
      Meaning{arsh, "dst >>= source, the sign comes in"},
      Meaning{to_little, "dst = its low bits in little-endian order"},
      Meaning{to_big, "dst = its low bits in big-endian order"},
      Meaning{swap, "dst = its low bits, bytes the other way round"},
      Meaning{load, "dst = what is in memory, extended with zeros"},
      Meaning{load_signed, "dst = what is in memory, extended by sign"},
      Meaning{load_acquire,
              "dst = what is in memory, extended with zeros, before all later accesses"},
      Meaning{store_register, "memory = the low bytes of src"},
      Meaning{store_immediate, "memory = the number"},
      Meaning{store_release, "memory = the low bytes of src, after all earlier accesses"},
      Meaning{load_immediate64, "dst = 64 bits; takes two slots"},
      Meaning{load_map, "dst = the address of the map; two slots"},
      Meaning{load_map_value,
              "dst = the address of a byte of the map's values, of the first without a number; two "
              "slots"},
      Meaning{load_function, "dst = the address of the function; two slots"},
      Meaning{atomic_add, "memory += src, at once; with fetch, src = what was there"},
      Meaning{atomic_or, "memory |= src, at once; with fetch, src = what was there"},
      Meaning{atomic_and, "memory &= src, at once; with fetch, src = what was there"},
      Meaning{atomic_xor, "memory ^= src, at once; with fetch, src = what was there"},
      Meaning{exchange, "memory and src change places, at once"},
      Meaning{compare_exchange, "if memory = r0, memory = src, at once; r0 = what was there"},
      Meaning{jump, "goes on at the label; ja32 reaches over 32 bits of slots, others over 16"},
      Meaning{jump_register,
              "goes on at the instruction whose address dst holds, as a `.table` has it"},
      Meaning{may_goto,
              "does nothing; once this call of the function has executed its may_gotos as often as "
              "is admitted, jumps"},
      Meaning{jump_if_equal, "jumps if dst = source"},
      Meaning{jump_if_not_equal, "jumps if dst and source differ"},
      Meaning{jump_if_set, "jumps if dst and source have a bit in common"},
      Meaning{jump_if_greater, "jumps if dst > source, without sign"},
      Meaning{jump_if_greater_equal, "jumps if dst >= source, without sign"},
      Meaning{jump_if_less, "jumps if dst < source, without sign"},
      Meaning{jump_if_less_equal, "jumps if dst <= source, without sign"},
      Meaning{jump_if_signed_greater, "jumps if dst > source, with sign"},
      Meaning{jump_if_signed_greater_equal, "jumps if dst >= source, with sign"},
      Meaning{jump_if_signed_less, "jumps if dst < source, with sign"},
      Meaning{jump_if_signed_less_equal, "jumps if dst <= source, with sign"},
      Meaning{call, "calls a function of the program"},
      Meaning{call_external, "calls a helper by its number, or a kfunc by the id of its type"},
      Meaning{call_register,
              "calls through a register, where the program has that extension; `call %dst` is the "
              "same"},
      Meaning{exit, "returns r0"},
  };
}();
static_assert(kMeanings.size() == static_cast<std::size_t>(Operation::exit) + 1);
static_assert([] {
  for (std::size_t i = 0; i < kMeanings.size(); ++i) {
    if (kMeanings[i].operation != static_cast<Operation>(i)) {
      return false;
    }
  }
  return true;
}());

// Moves of pointers between address spaces are of the operation mov, and mean something else.
constexpr bool moves_address(const InstructionInfo& row) {
  return row.operation == Operation::mov && row.offset.kind == FieldRule::Kind::selector &&
         row.offset.value != 0;
}
constexpr std::string_view kAddressMove =
    "dst = src, a pointer of another address space or CPU: there is one of each here";

std::string_view source_of(bool immediate, bool src_register) {
  return immediate && src_register ? "%src or number" : immediate ? "number" : "%src";
}

std::string written(Operand operand, std::string_view source) {
  switch (operand) {
    case Operand::none:
      return "";
    case Operand::dst:
      return "%dst";
    case Operand::source:
      return std::string(source);
    case Operand::imm64:
      return "number";
    case Operand::map:
      return "map NAME";
    case Operand::map_value:
      return "value NAME+N";
    case Operand::memory_dst:
      return "[%dst+N]";
    case Operand::memory_src:
      return "[%src+N]";
    case Operand::target:
    case Operand::target32:
      return "label";
    case Operand::local_callee:
      return "local label";
    case Operand::helper:
      return "N";
    case Operand::kfunc:
      return "kfunc N";
  }
  return "";
}

// Adds `word` to a list, once.
void add(std::vector<std::string>& list, std::string word) {
  if (std::ranges::find(list, word) == list.end()) {
    list.push_back(std::move(word));
  }
}

bool do_the_same(const InstructionInfo& a, const InstructionInfo& b) {
  return a.operation == b.operation && moves_address(a) == moves_address(b);
}

// Of all instructions that do what `like` does.
AssemblyEntry entry(const InstructionInfo& like) {
  std::vector<std::string> mnemonics;
  std::vector<std::string> operands;
  for (const InstructionInfo& row : kInstructions) {
    if (!do_the_same(row, like)) {
      continue;
    }
    add(mnemonics, std::string(row.mnemonic));
    const auto has = [&row](Source source) {
      return std::ranges::any_of(kInstructions, [&](const InstructionInfo& other) {
        return other.mnemonic == row.mnemonic && other.source == source;
      });
    };
    const std::string_view source = source_of(has(Source::immediate), has(Source::src_register));
    std::string all;
    for (const Operand operand : operands_of(row.form)) {
      if (operand != Operand::none) {
        all += (all.empty() ? "" : ", ") + written(operand, source);
      }
    }
    add(operands, std::move(all));
  }
  const bool words = std::ranges::any_of(
      mnemonics, [](const std::string& one) { return one.find(' ') != std::string::npos; });
  return {.mnemonics = fmt::format("{}", fmt::join(mnemonics, words ? ", " : " ")),
          .operands = fmt::format("{}", fmt::join(operands, "; ")),
          .meaning = std::string(moves_address(like)
                                     ? kAddressMove
                                     : kMeanings[static_cast<std::size_t>(like.operation)].text)};
}

}  // namespace

std::vector<AssemblyEntry> assembly_reference() {
  std::vector<AssemblyEntry> entries;
  for (auto row = kInstructions.begin(); row != kInstructions.end(); ++row) {
    const auto same = [row](const InstructionInfo& other) { return do_the_same(other, *row); };
    if (std::find_if(kInstructions.begin(), row, same) == row) {
      entries.push_back(entry(*row));
    }
  }
  return entries;
}

}  // namespace farcall::bpf
