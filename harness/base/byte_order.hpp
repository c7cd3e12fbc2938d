// Integers whose byte order is part of their type.
//
// A field that another machine reads or writes (a ppc64 instruction word, a guest structure, an
// object file) is declared with its order, and converts to and from the host's integers by itself;
// nobody swaps bytes by hand. The types have alignment 1 and no padding, so they can be laid over
// any buffer.
//
// Freestanding: images/ compiles this header for the guest.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace farcall {

// `value` with its bytes in opposite order.
template <std::unsigned_integral T>
constexpr T byte_swapped(T value) {
  if constexpr (sizeof(T) == 1) {
    return value;
  } else if constexpr (sizeof(T) == 2) {
    return __builtin_bswap16(value);
  } else if constexpr (sizeof(T) == 4) {
    return __builtin_bswap32(value);
  } else {
    return __builtin_bswap64(value);
  }
}

// The value of the `sizeof(T)` bytes at `bytes`, read in `order`.
template <std::unsigned_integral T>
constexpr T load(const std::byte* bytes, std::endian order) {
  T value = 0;
  if (!std::is_constant_evaluated()) {  // one load: compilers do not see through the loop below
    __builtin_memcpy(&value, bytes, sizeof(T));
    return order == std::endian::native ? value : byte_swapped(value);
  }
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    const std::size_t at = order == std::endian::big ? i : sizeof(T) - 1 - i;
    value = static_cast<T>((value << 7 << 1) | std::to_integer<T>(bytes[at]));
  }
  return value;
}

// Writes `value` as `sizeof(T)` bytes at `bytes` in `order`.
template <std::unsigned_integral T>
constexpr void store(std::byte* bytes, T value, std::endian order) {
  if (!std::is_constant_evaluated()) {
    const T ordered = order == std::endian::native ? value : byte_swapped(value);
    __builtin_memcpy(bytes, &ordered, sizeof(T));
    return;
  }
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    const std::size_t at = order == std::endian::big ? sizeof(T) - 1 - i : i;
    bytes[at] = static_cast<std::byte>(value & 0xff);
    value = static_cast<T>(value >> 7 >> 1);
  }
}

template <std::unsigned_integral T, std::endian Order>
class Ordered {
 public:
  constexpr Ordered() = default;
  constexpr Ordered(T value) {
    store(bytes_, value, Order);
  }  // NOLINT(google-explicit-constructor)
  constexpr operator T() const {
    return load<T>(bytes_, Order);
  }  // NOLINT(google-explicit-constructor)

 private:
  std::byte bytes_[sizeof(T)] = {};
};

using ul32 = Ordered<std::uint32_t, std::endian::little>;
using ul64 = Ordered<std::uint64_t, std::endian::little>;
using ub16 = Ordered<std::uint16_t, std::endian::big>;
using ub32 = Ordered<std::uint32_t, std::endian::big>;
using ub64 = Ordered<std::uint64_t, std::endian::big>;

static_assert(sizeof(ub64) == 8 && alignof(ub64) == 1);

}  // namespace farcall
