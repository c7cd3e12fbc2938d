// A 64-bit little-endian word that host and guest hand to each other through shared memory.
//
// Freestanding. Each access is one load or store, so neither side sees half a value; what the
// writer stored before store_release() is seen by whoever load_acquire() told about it.
#pragma once

#include <bit>
#include <cstdint>

#include "base/byte_order.hpp"

namespace farcall::wire {

class SharedWord {
 public:
  std::uint64_t load_acquire() const { return in_order(__atomic_load_n(&raw_, __ATOMIC_ACQUIRE)); }
  void store_release(std::uint64_t value) {
    __atomic_store_n(&raw_, in_order(value), __ATOMIC_RELEASE);
  }

 private:
  static std::uint64_t in_order(std::uint64_t value) {
    return std::endian::native == std::endian::little ? value : byte_swapped(value);
  }

  std::uint64_t raw_ = 0;
};

static_assert(sizeof(SharedWord) == 8 && alignof(SharedWord) == 8);

}  // namespace farcall::wire
