#include "bpf/assembly_reference.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "bpf/instruction.hpp"

namespace farcall::bpf {
namespace {

constexpr std::size_t kOperationCount = static_cast<std::size_t>(Operation::exit) + 1;

// In the order of Operation.
constexpr std::array<std::string_view, kOperationCount> kMeanings = {
    "dst += source",
    "dst -= source",
    "dst *= source",
    "dst /= source, without sign; by 0 it is 0",
    "dst /= source, with sign, rounded towards 0; by 0 it is 0",
    "dst |= source",
    "dst &= source",
    "dst <<= source",
    "dst >>= source, zeros come in",
    "dst = -dst",
    "dst %= source, without sign; by 0 dst stays",
    "dst %= source, with sign, that of dst; by 0 dst stays",
    "dst ^= source",
    "dst = source",
    "dst = the low 8, 16 or 32 bits of src, extended by sign to 64 or 32",
    "dst >>= source, the sign comes in",
    "dst = its low bits in little-endian order",
    "dst = its low bits in big-endian order",
    "dst = its low bits, bytes the other way round",
    "dst = what is in memory, extended with zeros",
    "dst = what is in memory, extended by sign",
    "memory = the low bytes of src",
    "memory = the number",
    "dst = 64 bits; takes two slots",
    "dst = the address of the map; two slots",
    "dst = the address of a byte of the map's values, of the first without a number; two slots",
    "dst = the address of the function; two slots",
    "memory += src, at once; with fetch, src = what was there",
    "memory |= src, at once; with fetch, src = what was there",
    "memory &= src, at once; with fetch, src = what was there",
    "memory ^= src, at once; with fetch, src = what was there",
    "memory and src change places, at once",
    "if memory = r0, memory = src, at once; r0 = what was there",
    "goes on at the label; ja32 reaches over 32 bits of slots, others over 16",
    "jumps if dst = source",
    "jumps if dst and source differ",
    "jumps if dst and source have a bit in common",
    "jumps if dst > source, without sign",
    "jumps if dst >= source, without sign",
    "jumps if dst < source, without sign",
    "jumps if dst <= source, without sign",
    "jumps if dst > source, with sign",
    "jumps if dst >= source, with sign",
    "jumps if dst < source, with sign",
    "jumps if dst <= source, with sign",
    "calls a function of the program",
    "calls a helper by its number, or a kfunc by the id of its type",
    "calls through a register, where the program has that extension; `call %dst` is the same",
    "returns r0",
};

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

AssemblyEntry entry(Operation operation) {
  std::vector<std::string> mnemonics;
  std::vector<std::string> operands;
  for (const InstructionInfo& row : kInstructions) {
    if (row.operation != operation) {
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
      mnemonics, [](const std::string& one) { return one.find(" ") != std::string::npos; });
  return {.mnemonics = fmt::format("{}", fmt::join(mnemonics, words ? ", " : " ")),
          .operands = fmt::format("{}", fmt::join(operands, "; ")),
          .meaning = std::string(kMeanings[static_cast<std::size_t>(operation)])};
}

}  // namespace

std::vector<AssemblyEntry> assembly_reference() {
  std::vector<AssemblyEntry> entries;
  std::vector<Operation> done;
  for (const InstructionInfo& row : kInstructions) {
    if (std::ranges::find(done, row.operation) == done.end()) {
      done.push_back(row.operation);
      entries.push_back(entry(row.operation));
    }
  }
  return entries;
}

}  // namespace farcall::bpf
