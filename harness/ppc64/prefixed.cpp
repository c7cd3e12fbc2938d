#include "ppc64/prefixed.hpp"

#include <fmt/format.h>

#include <stdexcept>

namespace farcall::ppc64 {

PrefixedWords encode(PrefixedOp op, const PrefixedOperands& operands) {
  const PrefixedInstruction& row = kPrefixedInstructions[static_cast<std::size_t>(op)];
  if (!fits_signed(operands.displacement, forms::kPrefixedBits)) {
    throw std::logic_error(
        fmt::format("the displacement of {} is {} and must be a signed number of"
                    " {} bits",
                    row.mnemonic, operands.displacement, forms::kPrefixedBits));
  }
  if (operands.pc_relative && operands.ra != Gpr::r0) {
    throw std::logic_error(fmt::format("{} cannot count from both {} and its own address",
                                       row.mnemonic, name(operands.ra)));
  }
  const auto bits = static_cast<std::uint64_t>(operands.displacement);
  return {.prefix = row.prefix.match | (operands.pc_relative ? forms::kPcRelative : 0) |
                    static_cast<std::uint32_t>(bit_field(bits, 16, forms::kUpperBits)),
          .suffix = row.suffix.match |
                    insert(operand_info(Operand::rt), static_cast<std::int64_t>(operands.rt)) |
                    insert(operand_info(Operand::ra), static_cast<std::int64_t>(operands.ra)) |
                    static_cast<std::uint32_t>(bit_field(bits, 0, 16))};
}

}  // namespace farcall::ppc64
