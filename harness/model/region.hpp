// The address map of ppc64 Linux: where the named parts of the kernel's address space start.
//
// A region is a start, not an extent. Where it is depends on the MMU. Source:
// arch/powerpc/include/asm/book3s/64 of Linux, and runs on QEMU.
#pragma once

#include <span>
#include <string_view>

#include "base/address.hpp"
#include "model/axes.hpp"

namespace farcall::model {

struct Region {
  std::string_view name;
  GuestAddress start;
};

// In the order of addresses.
std::span<const Region> regions(Mmu mmu);

// The region that `address` is in: the last one that starts at it or before it.
const Region& region_of(Mmu mmu, GuestAddress address);

}  // namespace farcall::model
