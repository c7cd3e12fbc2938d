// Which addresses each MMU translates: a fact of the hardware that whoever places something needs.
#pragma once

#include <cstdint>
#include <span>

#include "base/address.hpp"
#include "model/axes.hpp"

namespace farcall::model {

struct AddressRange {
  GuestAddress first;
  GuestAddress last;  // its last byte
};

// Hash translates any address. Radix translates 52 bits of quadrant 0 and of quadrant 3; all else
// faults with 0x380 or 0x480.
std::span<const AddressRange> translated_ranges(Mmu mmu);

// Whether one range holds all of the `size` bytes at `first`, size ≥ 1.
bool admits(Mmu mmu, GuestAddress first, std::uint64_t size);

}  // namespace farcall::model
