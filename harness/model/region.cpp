#include "model/region.hpp"

#include <algorithm>
#include <array>
#include <iterator>

namespace farcall::model {
namespace {

constexpr std::array kRadix = {
    Region{"user", {0x0000000000000000}},
    Region{"text", {0xc000000000000000}},     // kernel text and the linear map
    Region{"vmalloc", {0xc008000000000000}},  // where JITed code lives: 2 PiB on
    Region{"io", {0xc00a000000000000}},
    Region{"vmemmap", {0xc00c000000000000}},
};
// With 4K pages, as our guest has them, 61 TiB of linear map and then 1 TiB for each of the next.
constexpr std::array kHash = {
    Region{"user", {0x0000000000000000}},
    Region{"text", {0xc000000000000000}},
    Region{"vmalloc", {0xc0003d0000000000}},
    Region{"io", {0xc0003e0000000000}},
    Region{"vmemmap", {0xc0003f0000000000}},
    Region{"vmalloc_64k", {0xc008000000000000}},   // with 64K pages
    Region{"vmalloc_2018", {0xd000000000000000}},  // in kernels of 2018: 1 EiB on
};

static_assert(std::ranges::is_sorted(kRadix, {}, &Region::start));
static_assert(std::ranges::is_sorted(kHash, {}, &Region::start));

}  // namespace

std::span<const Region> regions(Mmu mmu) {
  if (mmu == Mmu::radix) {
    return kRadix;
  }
  return kHash;
}

const Region& region_of(Mmu mmu, GuestAddress address) {
  const std::span<const Region> all = regions(mmu);
  return *std::prev(std::ranges::upper_bound(all, address, {}, &Region::start));
}

}  // namespace farcall::model
