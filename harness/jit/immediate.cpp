#include "jit/immediate.hpp"

#include <bit>

#include "base/bits.hpp"

namespace farcall::jit {
namespace {

using ppc64::Gpr;
using ppc64::kZero;
using ppc64::Op;

std::uint32_t halfword(std::uint64_t value, unsigned index) {
  return static_cast<std::uint32_t>(bit_field(value, 16 * index, 16));
}
std::int64_t signed_halfword(std::uint64_t value, unsigned index) {
  return sign_extend(halfword(value, index), 16);
}

// A value that fits in 32 bits, signed: li, lis, or lis and ori.
std::uint32_t words_of_32(std::int64_t value) {
  return fits_signed(value, 16) || (value & 0xffff) == 0 ? 1 : 2;
}
void load_32(Emitter& out, Gpr to, std::int64_t value) {
  const auto bits = static_cast<std::uint64_t>(value);
  if (fits_signed(value, 16)) {
    out.emit<Op::addi>(to, kZero, value);
    return;
  }
  out.emit<Op::addis>(to, kZero, signed_halfword(bits, 1));
  if (halfword(bits, 0) != 0) {
    out.emit<Op::ori>(to, to, halfword(bits, 0));
  }
}

// The upper half, moved up, then the halfwords of the lower one that are not zero.
std::uint32_t words_of_halves(std::uint64_t value) {
  return words_of_32(static_cast<std::int64_t>(value) >> 32) + 1 +
         (halfword(value, 1) != 0 ? 1 : 0) + (halfword(value, 0) != 0 ? 1 : 0);
}
void load_halves(Emitter& out, Gpr to, std::uint64_t value) {
  load_32(out, to, static_cast<std::int64_t>(value) >> 32);
  out.emit<Op::rldicr>(to, to, 32, 31);
  if (halfword(value, 1) != 0) {
    out.emit<Op::oris>(to, to, halfword(value, 1));
  }
  if (halfword(value, 0) != 0) {
    out.emit<Op::ori>(to, to, halfword(value, 0));
  }
}

}  // namespace

void load_immediate(Emitter& out, Gpr to, std::uint64_t value) {
  const auto number = static_cast<std::int64_t>(value);
  if (fits_signed(number, 32)) {
    load_32(out, to, number);
    return;
  }
  const std::uint32_t by_halves = words_of_halves(value);

  // What is left without the trailing zeros: load it, shift it up.
  const int trailing = std::countr_zero(value);
  const std::int64_t shifted = number >> trailing;
  const std::uint32_t by_shift = fits_signed(shifted, 32) ? words_of_32(shifted) + 1 : by_halves;

  // Ones instead of the leading zeros make a negative number: load it, clear them.
  const int leading = std::countl_zero(value);
  const auto filled = static_cast<std::int64_t>(value | ~(~std::uint64_t{0} >> leading));
  const std::uint32_t by_mask =
      leading > 0 && fits_signed(filled, 32) ? words_of_32(filled) + 1 : by_halves;

  if (by_mask < by_halves && by_mask <= by_shift) {
    load_32(out, to, filled);
    out.emit<Op::rldicl>(to, to, 0, leading);
  } else if (by_shift < by_halves) {
    load_32(out, to, shifted);
    out.emit<Op::rldicr>(to, to, trailing, 63 - trailing);
  } else {
    load_halves(out, to, value);
  }
}

void load_immediate_fixed(Emitter& out, Gpr to, std::uint64_t value) {
  out.emit<Op::addis>(to, kZero, signed_halfword(value, 3));
  out.emit<Op::ori>(to, to, halfword(value, 2));
  out.emit<Op::rldicr>(to, to, 32, 31);
  out.emit<Op::oris>(to, to, halfword(value, 1));
  out.emit<Op::ori>(to, to, halfword(value, 0));
}

}  // namespace farcall::jit
