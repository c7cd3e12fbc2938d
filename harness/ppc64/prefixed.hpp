// The 8-byte instructions of Power ISA 3.1 (power10 on) that farcall emits, decodes or prints: one
// row each. Book I, section 1.6.3 (prefixed instruction formats).
//
// An instruction is two words, the prefix first in memory whatever the byte order. It must not
// cross a 64-byte boundary: the CPU takes an alignment interrupt.
//
// All rows have the form MLS:D. Its operands are RT, RA, R and a signed displacement of 34 bits, 18
// of them in the prefix and 16 in the suffix. R says that the displacement counts from the
// instruction's own address; RA must be 0 then.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/address.hpp"
#include "base/bits.hpp"
#include "ppc64/instruction.hpp"

namespace farcall::ppc64 {

struct PrefixedWords {
  std::uint32_t prefix = 0;
  std::uint32_t suffix = 0;

  friend bool operator==(const PrefixedWords&, const PrefixedWords&) = default;
};

enum class PrefixedOp : std::uint8_t { paddi };

struct PrefixedInstruction {
  PrefixedOp op{};
  std::string_view mnemonic;
  Encoding prefix;
  Encoding suffix;
};

struct PrefixedOperands {
  Gpr rt{};
  Gpr ra{};  // r0: the number zero
  std::int64_t displacement = 0;
  bool pc_relative = false;

  friend bool operator==(const PrefixedOperands&, const PrefixedOperands&) = default;
};

namespace forms {

inline constexpr std::uint32_t kPcRelative = 1U << 20;  // R
inline constexpr unsigned kUpperBits = 18;
inline constexpr unsigned kPrefixedBits = kUpperBits + 16;
inline constexpr Encoding kMls = {
    primary(1) | 2U << 24,
    ~(kPcRelative | ((std::uint32_t{1} << kUpperBits) - 1)),
};

}  // namespace forms

inline constexpr std::array kPrefixedInstructions = {
    PrefixedInstruction{PrefixedOp::paddi, "paddi", forms::kMls, forms::d_form(14)},
};

constexpr PrefixedOperands operands_of(PrefixedWords words) {
  const std::uint64_t upper = bit_field(words.prefix, 0, forms::kUpperBits);
  return {.rt = static_cast<Gpr>(extract(Operand::rt, words.suffix)),
          .ra = static_cast<Gpr>(extract(Operand::ra, words.suffix)),
          .displacement = sign_extend(upper << 16 | (words.suffix & 0xffff), forms::kPrefixedBits),
          .pc_relative = (words.prefix & forms::kPcRelative) != 0};
}

// The row that the two words are an instance of; null if the table does not have it.
constexpr const PrefixedInstruction* find(PrefixedWords words) {
  const PrefixedOperands operands = operands_of(words);
  if (operands.pc_relative && operands.ra != Gpr::r0) {
    return nullptr;
  }
  for (const PrefixedInstruction& row : kPrefixedInstructions) {
    if ((words.prefix & row.prefix.mask) == row.prefix.match &&
        (words.suffix & row.suffix.mask) == row.suffix.match) {
      return &row;
    }
  }
  return nullptr;
}

// Operands that do not fit, or that the form excludes, are a mistake of the caller: throws
// std::logic_error.
PrefixedWords encode(PrefixedOp op, const PrefixedOperands& operands);

// Whether a prefixed instruction at `at`, which is word aligned, would cross a 64-byte boundary.
constexpr bool crosses_boundary(GuestAddress at) {
  return at.value % 64 == 60;
}

// How many words the instruction at the front of `words`, not empty, takes: 2 after a prefix.
constexpr std::size_t instruction_words(std::span<const std::uint32_t> words) {
  return is_prefix(words[0]) && words.size() > 1 ? 2 : 1;
}

}  // namespace farcall::ppc64
