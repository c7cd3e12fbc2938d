// Instruction words from the instruction table.
//
//   encode<Op::addi>(Gpr::r3, Gpr::r4, -8)     the same order as in assembly
//   encode<Op::ld>(Gpr::r3, 16, Gpr::r1)       `ld r3,16(r1)`
//   encode<Op::addi>(Gpr::r3, kZero, 5)        `li r3,5`: no base register
//
// Number and types of the operands are checked at compile time. Values are checked in every build:
// one that does not fit its field, or r0 where it would mean zero, is a mistake of the caller and
// throws std::logic_error. Nothing is ever truncated.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "ppc64/instruction.hpp"

namespace farcall::ppc64 {

namespace encoding {

[[noreturn]] void operand_does_not_fit(Op op, Operand operand, std::int64_t value);
[[noreturn]] void r0_as_base(Op op);

template <Op op, Operand operand, typename Value>
constexpr std::uint32_t field(Value value) {
  constexpr OperandInfo info = operand_info(operand);
  if constexpr (info.kind == OperandKind::gpr) {
    static_assert(std::same_as<Value, Gpr>, "this operand is a general register");
  } else if constexpr (info.kind == OperandKind::gpr_or_zero) {
    static_assert(std::same_as<Value, Gpr> || std::same_as<Value, LiteralZero>,
                  "this operand is a general register or kZero");
  } else if constexpr (info.kind == OperandKind::cr_field) {
    static_assert(std::same_as<Value, CrField>, "this operand is a CR field");
  } else if constexpr (info.kind == OperandKind::cr_bit) {
    static_assert(std::same_as<Value, CrBit>, "this operand is a CR bit");
  } else {
    static_assert(std::integral<Value>, "this operand is a number");
  }

  if constexpr (std::same_as<Value, LiteralZero>) {
    return 0;
  } else {
    if constexpr (info.kind == OperandKind::gpr_or_zero) {
      if (value == Gpr::r0) {
        r0_as_base(op);
      }
    }
    const auto number = static_cast<std::int64_t>(value);
    if (!fits(info, number)) {
      operand_does_not_fit(op, operand, number);
    }
    if constexpr (std::integral<Value>) {
      if (!std::in_range<std::int64_t>(value)) {
        operand_does_not_fit(op, operand, number);
      }
    }
    return insert(info, number);
  }
}

template <Op op, std::size_t... index, typename... Values>
constexpr std::uint32_t word(std::index_sequence<index...> /*operands*/, Values... values) {
  return (instruction(op).encoding.match | ... |
          field<op, instruction(op).operands[index]>(values));
}

}  // namespace encoding

template <Op op, typename... Values>
constexpr std::uint32_t encode(Values... values) {
  static_assert(sizeof...(Values) == instruction(op).operand_count, "wrong number of operands");
  return encoding::word<op>(std::index_sequence_for<Values...>{}, values...);
}

// The same where the instruction is known at run time only; operands are their field values.
std::uint32_t encode(Op op, std::span<const std::int64_t> operands);

}  // namespace farcall::ppc64
