// Ranges and fields of integers.
#pragma once

#include <cstdint>

namespace farcall {

// Whether `value` is representable in `bits` bits of two's complement, 1 ≤ bits ≤ 64.
constexpr bool fits_signed(std::int64_t value, unsigned bits) {
  const std::int64_t limit = std::int64_t{1} << (bits - 1);
  return bits == 64 || (value >= -limit && value < limit);
}

// Whether `value` is representable in `bits` unsigned bits, 1 ≤ bits ≤ 64.
constexpr bool fits_unsigned(std::uint64_t value, unsigned bits) {
  return bits == 64 || value >> bits == 0;
}

// The low `bits` bits of `value` as a two's complement number, 1 ≤ bits ≤ 64.
constexpr std::int64_t sign_extend(std::uint64_t value, unsigned bits) {
  const unsigned unused = 64 - bits;
  return static_cast<std::int64_t>(value << unused) >> unused;
}

// Bits `shift` … `shift + width - 1` of `value`, counted from the least significant one.
constexpr std::uint64_t bit_field(std::uint64_t value, unsigned shift, unsigned width) {
  return width == 64 ? value >> shift : (value >> shift) & ((std::uint64_t{1} << width) - 1);
}

constexpr std::uint64_t align_down(std::uint64_t value, std::uint64_t alignment) {
  return value & ~(alignment - 1);
}

constexpr std::uint64_t align_up(std::uint64_t value, std::uint64_t alignment) {
  return align_down(value + alignment - 1, alignment);
}

}  // namespace farcall
