// What the tests of the JIT share: programs from text, and a reader of emitted words that knows
// nothing of how they were emitted.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "bpf/assembler.hpp"
#include "model/code_image.hpp"
#include "model/linked_program.hpp"
#include "ppc64/disassembler.hpp"

namespace farcall::jit {

// The program of `assembly`, its functions at `addresses`, linked by the scheme aux64.
inline model::LinkedProgram linked(std::string_view assembly, std::vector<GuestAddress> addresses) {
  auto program = bpf::assemble(assembly, {"test", 1, 1});
  if (!program) {
    throw std::runtime_error(to_string(program.error()));
  }
  model::LinkedProgram result;
  result.scheme = model::CallScheme::aux64;
  result.program = program.value();
  result.addresses = std::move(addresses);
  for (const bpf::PseudoCall& call : bpf::pseudo_calls(result.program)) {
    const GuestAddress target = result.addresses.at(call.callee);
    result.calls.push_back({call.site, call.slot, call.callee, target});
    result.side_table.push_back(target);
  }
  return result;
}

inline std::vector<std::string> listing(std::span<const std::uint32_t> words, GuestAddress at) {
  std::vector<std::string> lines;
  for (std::size_t i = 0; i < words.size(); ++i) {
    lines.push_back(ppc64::disassemble(words[i], at + i * 4));
  }
  return lines;
}

// The value that li, lis, ori, oris, sldi (any rldicr) and clrldi (any rldicl) leave in the one
// register that `words` compute; by the definitions of the Power ISA, Book I. Empty if there is
// another instruction, or another register.
inline std::optional<std::uint64_t> constant_of(std::span<const std::uint32_t> words) {
  std::uint64_t value = 0;
  std::optional<std::uint32_t> only;
  for (const std::uint32_t word : words) {
    const std::uint32_t first = word >> 21 & 31;
    const std::uint32_t second = word >> 16 & 31;
    const std::uint32_t opcode = word >> 26;
    const bool loads = opcode == 14 || opcode == 15;
    const std::uint32_t to = loads ? first : second;
    if ((loads ? second != 0 : first != second) || (only && *only != to) || (!only && !loads)) {
      return std::nullopt;
    }
    only = to;
    const auto si = static_cast<std::uint64_t>(
        static_cast<std::int64_t>(static_cast<std::int16_t>(word & 0xffff)));
    const std::uint32_t count = (word >> 11 & 31) | (word >> 1 & 1) << 5;
    const std::uint32_t bound = (word >> 6 & 31) | (word >> 5 & 1) << 5;
    const std::uint64_t rotated = value << count | (count == 0 ? 0 : value >> (64 - count));
    if (opcode == 14) {
      value = si;
    } else if (opcode == 15) {
      value = si << 16;
    } else if (opcode == 24) {
      value |= word & 0xffff;
    } else if (opcode == 25) {
      value |= (word & 0xffff) << 16;
    } else if (opcode == 30 && (word >> 2 & 7) == 0) {
      value = rotated & ~std::uint64_t{0} >> bound;
    } else if (opcode == 30 && (word >> 2 & 7) == 1) {
      value = rotated & ~std::uint64_t{0} << (63 - bound);
    } else {
      return std::nullopt;
    }
  }
  return value;
}

}  // namespace farcall::jit
