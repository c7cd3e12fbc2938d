// Regions as names in addresses, and what messages say of them.
//
// Where a region starts depends on the MMU, so a case that says `vmalloc+64K` means the right place
// on each.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/address.hpp"
#include "model/axes.hpp"

namespace farcall::cases {

// Whether `name` is a region of any MMU.
bool is_region(std::string_view name);

// Where the region starts; none where this MMU has no such region.
std::optional<GuestAddress> region_start(model::Mmu mmu, std::string_view name);

// All names, for messages: `text, vmalloc, …`.
std::string region_names();

// What the MMU translates, for messages.
std::string admitted_ranges(model::Mmu mmu);

}  // namespace farcall::cases
