#include "decode/evaluate.hpp"

#include <bit>
#include <optional>

#include "base/bits.hpp"
#include "ppc64/abi.hpp"

namespace farcall::decode {
namespace {

using ppc64::Op;
using ppc64::Operand;
using ppc64::OperandInfo;
using ppc64::OperandKind;

// The values of the register operands that an instruction reads; 0 for those it does not have.
struct Sources {
  std::uint64_t rs = 0;
  std::uint64_t ra = 0;
  std::uint64_t rb = 0;
};

// Empty if one of them is unknown.
std::optional<Sources> sources(const ppc64::Instruction& row, std::uint32_t word,
                               const KnownRegisters& registers) {
  Sources result;
  for (std::size_t i = 0; i < row.operand_count; ++i) {
    const Operand operand = row.operands[i];
    const OperandInfo info = ppc64::operand_info(operand);
    if (!info.reads) {
      continue;
    }
    const auto number = static_cast<RegisterNumber>(ppc64::extract(info, word));
    std::optional<std::uint64_t> value = registers.get(number);
    if (info.kind == OperandKind::gpr_or_zero && number == 0) {
      value = 0;
    }
    if (!value) {
      return std::nullopt;
    }
    std::uint64_t& place = operand == Operand::rs   ? result.rs
                           : operand == Operand::rb ? result.rb
                                                    : result.ra;
    place = *value;
  }
  return result;
}

std::uint64_t sign_extended(std::uint64_t value, unsigned bits) {
  return static_cast<std::uint64_t>(sign_extend(value, bits));
}

// MASK(begin, end) of the ISA: ones from bit `begin` to bit `end`, counted from the most
// significant bit, around the end of the doubleword if begin > end.
std::uint64_t mask(unsigned begin, unsigned end) {
  const std::uint64_t from = ~std::uint64_t{0} >> begin;
  const std::uint64_t to = ~std::uint64_t{0} << (63 - end);
  return begin <= end ? from & to : from | to;
}

// ROTL32 of the ISA: both halves of the result are the rotated low half of `value`.
std::uint64_t rotate32(std::uint64_t value, unsigned count) {
  const std::uint64_t half = std::rotl(static_cast<std::uint32_t>(value), static_cast<int>(count));
  return half << 32 | half;
}
std::uint64_t rotate64(std::uint64_t value, unsigned count) {
  return std::rotl(value, static_cast<int>(count));
}

std::uint64_t shift_left(std::uint64_t value, std::uint64_t count, unsigned bits) {
  return count >= bits ? 0 : bit_field(value << count, 0, bits);
}
std::uint64_t shift_right(std::uint64_t value, std::uint64_t count, unsigned bits) {
  return count >= bits ? 0 : bit_field(value, 0, bits) >> count;
}
std::uint64_t shift_right_signed(std::uint64_t value, std::uint64_t count, unsigned bits) {
  return static_cast<std::uint64_t>(sign_extend(value, bits) >> (count >= bits ? 63 : count));
}

// The value of the register that the instruction writes first; empty if it is not computed here.
std::optional<std::uint64_t> result(const ppc64::Instruction& row, std::uint32_t word,
                                    const Sources& from) {
  const auto [rs, ra, rb] = from;
  const auto number = [word](Operand operand) {
    return static_cast<unsigned>(ppc64::extract(operand, word));
  };
  const std::uint64_t si = sign_extended(word, 16);
  const std::uint64_t ui = word & 0xffff;
  switch (row.op) {
    case Op::addi:
      return ra + si;
    case Op::addis:
      return ra + (si << 16);
    case Op::subfic:
      return si - ra;
    case Op::mulli:
      return ra * si;
    case Op::add:
      return ra + rb;
    case Op::subf:
      return rb - ra;
    case Op::neg:
      return 0 - ra;
    case Op::mulld:
      return ra * rb;
    case Op::mullw:
      return sign_extended(ra, 32) * sign_extended(rb, 32);

    case Op::ori:
      return rs | ui;
    case Op::oris:
      return rs | ui << 16;
    case Op::xori:
      return rs ^ ui;
    case Op::xoris:
      return rs ^ ui << 16;
    case Op::andi_rc:
      return rs & ui;
    case Op::andis_rc:
      return rs & ui << 16;
    case Op::and_:
      return rs & rb;
    case Op::andc:
      return rs & ~rb;
    case Op::or_:
      return rs | rb;
    case Op::orc:
      return rs | ~rb;
    case Op::xor_:
      return rs ^ rb;
    case Op::eqv:
      return ~(rs ^ rb);
    case Op::nor:
      return ~(rs | rb);
    case Op::nand:
      return ~(rs & rb);
    case Op::extsb:
      return sign_extended(rs, 8);
    case Op::extsh:
      return sign_extended(rs, 16);
    case Op::extsw:
      return sign_extended(rs, 32);

    case Op::sld:
      return shift_left(rs, rb & 0x7f, 64);
    case Op::srd:
      return shift_right(rs, rb & 0x7f, 64);
    case Op::srad:
      return shift_right_signed(rs, rb & 0x7f, 64);
    case Op::sradi:
      return shift_right_signed(rs, number(Operand::sh6), 64);
    case Op::slw:
      return shift_left(rs, rb & 0x3f, 32);
    case Op::srw:
      return shift_right(rs, rb & 0x3f, 32);
    case Op::sraw:
      return shift_right_signed(rs, rb & 0x3f, 32);
    case Op::srawi:
      return shift_right_signed(rs, number(Operand::sh5), 32);

    case Op::rldicl:
      return rotate64(rs, number(Operand::sh6)) & mask(number(Operand::mb6), 63);
    case Op::rldicr:
      return rotate64(rs, number(Operand::sh6)) & mask(0, number(Operand::mb6));
    case Op::rldic:
      return rotate64(rs, number(Operand::sh6)) &
             mask(number(Operand::mb6), 63 - number(Operand::sh6));
    case Op::rldimi: {
      const std::uint64_t taken = mask(number(Operand::mb6), 63 - number(Operand::sh6));
      return (rotate64(rs, number(Operand::sh6)) & taken) | (ra & ~taken);
    }
    case Op::rldcl:
      return rotate64(rs, rb & 0x3f) & mask(number(Operand::mb6), 63);
    case Op::rldcr:
      return rotate64(rs, rb & 0x3f) & mask(0, number(Operand::mb6));
    case Op::rlwinm:
      return rotate32(rs, number(Operand::sh5)) &
             mask(number(Operand::mb5) + 32, number(Operand::me5) + 32);
    case Op::rlwnm:
      return rotate32(rs, rb & 0x1f) & mask(number(Operand::mb5) + 32, number(Operand::me5) + 32);
    case Op::rlwimi: {
      const std::uint64_t taken = mask(number(Operand::mb5) + 32, number(Operand::me5) + 32);
      return (rotate32(rs, number(Operand::sh5)) & taken) | (ra & ~taken);
    }
    default:
      return std::nullopt;
  }
}

}  // namespace

void evaluate(const ppc64::Instruction& row, std::uint32_t word, KnownRegisters& registers) {
  const auto gpr = [&](Operand operand) {
    return static_cast<RegisterNumber>(ppc64::extract(operand, word));
  };
  switch (row.op) {
    case Op::mtlr:
      return registers.set(kLinkRegister, registers.get(gpr(Operand::rs)));
    case Op::mtctr:
      return registers.set(kCountRegister, registers.get(gpr(Operand::rs)));
    case Op::mflr:
      return registers.set(gpr(Operand::rt), registers.get(kLinkRegister));
    case Op::mfctr:
      return registers.set(gpr(Operand::rt), registers.get(kCountRegister));
    case Op::sc:  // as the system calls of Linux: what a function call preserves, at least
      return registers.forget_all_but(ppc64::kElfv2.preserved_gpr);
    default:
      break;
  }
  std::optional<std::uint64_t> value;
  if (const auto from = sources(row, word, registers)) {
    value = result(row, word, *from);
  }
  // An instruction of several results (a load with update) gives none of those computed here.
  for (std::size_t i = 0; i < row.operand_count; ++i) {
    const OperandInfo info = ppc64::operand_info(row.operands[i]);
    if (info.writes && info.kind == OperandKind::gpr) {
      registers.set(static_cast<RegisterNumber>(ppc64::extract(info, word)), value);
    }
  }
}

void evaluate(const ppc64::PrefixedInstruction& row, ppc64::PrefixedWords words, GuestAddress at,
              KnownRegisters& registers) {
  const ppc64::PrefixedOperands operands = operands_of(words);
  const auto displacement = static_cast<std::uint64_t>(operands.displacement);
  std::optional<std::uint64_t> base = 0;
  if (operands.pc_relative) {
    base = at.value;
  } else if (operands.ra != ppc64::Gpr::r0) {
    base = registers.get(static_cast<RegisterNumber>(operands.ra));
  }
  switch (row.op) {
    case ppc64::PrefixedOp::paddi:
      if (base) {
        base = *base + displacement;
      }
      return registers.set(static_cast<RegisterNumber>(operands.rt), base);
  }
}

}  // namespace farcall::decode
