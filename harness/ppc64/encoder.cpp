#include "ppc64/encoder.hpp"

#include <fmt/format.h>

#include <stdexcept>

namespace farcall::ppc64 {
namespace encoding {

void operand_does_not_fit(Op op, Operand operand, std::int64_t value) {
  const OperandInfo info = operand_info(operand);
  throw std::logic_error(
      fmt::format("operand {} of {} is {} and must be {} number of {} bits{}", info.name,
                  instruction(op).mnemonic, value, info.is_signed ? "a signed" : "an unsigned",
                  info.bits() + info.zero_bits, info.zero_bits == 0 ? "" : ", a multiple of 4"));
}

void r0_as_base(Op op) {
  throw std::logic_error(fmt::format(
      "operand RA of {} is r0, which means the number zero there: say kZero, or take another "
      "register",
      instruction(op).mnemonic));
}

}  // namespace encoding

std::uint32_t encode(Op op, std::span<const std::int64_t> operands) {
  const Instruction& row = instruction(op);
  if (operands.size() != row.operand_count) {
    throw std::logic_error(fmt::format("{} has {} operands, not {}", row.mnemonic,
                                       row.operand_count, operands.size()));
  }
  std::uint32_t word = row.encoding.match;
  for (std::size_t i = 0; i < operands.size(); ++i) {
    const OperandInfo info = operand_info(row.operands[i]);
    if (!fits(info, operands[i])) {
      encoding::operand_does_not_fit(op, row.operands[i], operands[i]);
    }
    word |= insert(info, operands[i]);
  }
  return word;
}

}  // namespace farcall::ppc64
