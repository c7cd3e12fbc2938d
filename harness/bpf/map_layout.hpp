// How maps lie in memory, whoever makes, fills or reads one.
//
// All begin with two words of 32 bits: how many elements there are, and how many bytes each has. The
// elements of an array follow, one after the other; those of a program array are function pointers.
// A hash table has no elements in this sense; two more words say how many slots it has, and how many
// bytes a key. A slot is a doubleword, 1 if it is in use, then the key and the value, each filled up
// to a multiple of eight bytes.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/bits.hpp"
#include "base/byte_order.hpp"
#include "bpf/program.hpp"

namespace farcall::bpf {

// Offsets of the words in a map.
inline constexpr std::uint16_t kMapElements = 0;
inline constexpr std::uint16_t kMapValueBytes = 4;
inline constexpr std::uint16_t kMapSlots = 8;
inline constexpr std::uint16_t kMapKeyBytes = 12;

inline constexpr std::uint16_t kTableHeaderBytes = 16;
inline constexpr std::uint16_t kSlotInUseBytes = 8;  // before the key

struct MapLayout {
  std::uint32_t elements = 0;  // 0: a hash table, or nothing at all
  std::uint32_t value_bytes = 0;
  std::uint32_t slots = 0;  // of a hash table
  std::uint32_t key_bytes = 0;

  constexpr std::uint64_t slot_bytes() const {
    return kSlotInUseBytes + align_up(std::uint64_t{key_bytes}, 8) +
           align_up(std::uint64_t{value_bytes}, 8);
  }

  // Offsets in a hash table.
  constexpr std::uint64_t in_use_at(std::uint64_t slot) const {
    return kTableHeaderBytes + slot * slot_bytes();
  }
  constexpr std::uint64_t key_at(std::uint64_t slot) const {
    return in_use_at(slot) + kSlotInUseBytes;
  }
  constexpr std::uint64_t value_at(std::uint64_t slot) const {
    return key_at(slot) + align_up(std::uint64_t{key_bytes}, 8);
  }

  // Whether it is that of a hash table which lies in so many bytes: code may have overwritten it.
  constexpr bool is_table_in(std::uint64_t bytes) const {
    return elements == 0 && slots != 0 && key_bytes != 0 && value_bytes != 0 &&
           bytes >= kTableHeaderBytes && slots <= (bytes - kTableHeaderBytes) / slot_bytes();
  }
};

// That of a map with these bytes. A word that is not there is 0.
inline MapLayout map_layout(std::span<const std::byte> bytes, std::endian order) {
  const auto word = [&](std::size_t at) {
    return at + 4 <= bytes.size() ? load<std::uint32_t>(&bytes[at], order) : 0U;
  };
  MapLayout layout{.elements = word(kMapElements), .value_bytes = word(kMapValueBytes)};
  if (layout.elements == 0) {
    layout.slots = word(kMapSlots);
    layout.key_bytes = word(kMapKeyBytes);
  }
  return layout;
}

}  // namespace farcall::bpf
