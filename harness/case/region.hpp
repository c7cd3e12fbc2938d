// The address map of ppc64: named regions, and which addresses an MMU translates at all.
//
// A region is the start of a part of the address space, not an extent: `text+64K` is an address.
// Where a region starts depends on the MMU, so a case that says `vmalloc+64K` means the right place
// on each. Source: arch/powerpc/include/asm/book3s/64 of Linux, and runs on QEMU.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.hpp"
#include "model/axes.hpp"

namespace farcall::cases {

// Whether `name` is a region of any MMU.
bool is_region(std::string_view name);

struct Region {
  std::string_view name;
  GuestAddress start;
};

// All regions of the MMU.
std::vector<Region> regions(model::Mmu mmu);

// Where the region starts; none where this MMU has no such region.
std::optional<GuestAddress> region_start(model::Mmu mmu, std::string_view name);

// All names, for messages: `text, vmalloc, …`.
std::string region_names();

// What the MMU translates, for messages.
std::string admitted_ranges(model::Mmu mmu);

}  // namespace farcall::cases
