#include "ppc64/reservation.hpp"

#include <algorithm>
#include <array>
#include <optional>

#include "ppc64/instruction.hpp"

namespace farcall::ppc64 {
namespace {

constexpr std::uint32_t kPrimaryOpcode = 31;

std::uint32_t extended_opcode(std::uint32_t word) {
  return word >> 1 & 0x3ff;
}

template <std::size_t kCount>
bool is_one_of(const std::array<std::uint32_t, kCount>& extended_opcodes, std::uint32_t word) {
  return word >> 26 == kPrimaryOpcode &&
         std::ranges::find(extended_opcodes, extended_opcode(word)) != extended_opcodes.end();
}

bool is(Op op, std::uint32_t word) {
  const Encoding& encoding = instruction(op).encoding;
  return (word & encoding.mask) == encoding.match;
}

// Without the hint in bit 0.
bool is_reservation_for(std::uint32_t store, std::uint32_t word) {
  const Op op = is(Op::stwcx_rc, store) ? Op::lwarx : Op::ldarx;
  constexpr std::uint32_t kHint = 1;
  const std::uint32_t registers =
      operand_info(Operand::ra0).mask() | operand_info(Operand::rb).mask();
  return is(op, word & ~kHint) && ((word ^ store) & registers) == 0;
}

bool writes(const Instruction& row, std::uint32_t word, std::int64_t gpr) {
  for (std::size_t i = 0; i < row.operand_count; ++i) {
    const OperandInfo info = operand_info(row.operands[i]);
    if (info.kind == OperandKind::gpr && info.writes && extract(info, word) == gpr) {
      return true;
    }
  }
  return false;
}

std::optional<std::size_t> reservation_for(std::span<const std::uint32_t> words,
                                           std::size_t store) {
  const std::int64_t base = extract(Operand::ra0, words[store]);
  const std::int64_t index = extract(Operand::rb, words[store]);
  for (std::size_t i = store; i-- > 0;) {
    const bool found = is_reservation_for(words[store], words[i]);
    const Instruction* row = found ? &instruction(Op::ldarx) : find(words[i]);  // both write rt
    if (row == nullptr || stores_conditionally(words[i]) || (!found && reserves(words[i])) ||
        (base != 0 && writes(*row, words[i], base)) || writes(*row, words[i], index)) {
      return std::nullopt;
    }
    if (found) {
      return i;
    }
  }
  return std::nullopt;
}

}  // namespace

bool reserves(std::uint32_t word) {
  return is_one_of(std::to_array<std::uint32_t>({52, 116, 20, 84, 276}), word);
}

bool stores_conditionally(std::uint32_t word) {
  return is_one_of(std::to_array<std::uint32_t>({694, 726, 150, 214, 182}), word);
}

std::vector<GuardedStore> guarded_stores(std::span<const std::uint32_t> words) {
  std::vector<GuardedStore> all;
  for (std::size_t i = 1; i < words.size(); ++i) {
    if (!is(Op::stwcx_rc, words[i]) && !is(Op::stdcx_rc, words[i])) {
      continue;
    }
    const Instruction* before = find(words[i - 1]);
    const auto reservation =
        before != nullptr && before->is_branch() ? reservation_for(words, i) : std::nullopt;
    if (reservation) {
      all.push_back({i, *reservation});
    }
  }
  return all;
}

}  // namespace farcall::ppc64
