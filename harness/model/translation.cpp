#include "model/translation.hpp"

#include <algorithm>
#include <array>

namespace farcall::model {
namespace {

constexpr std::array kRadixRanges = {
    AddressRange{{0x0000'0000'0000'0000}, {0x000f'ffff'ffff'ffff}},
    AddressRange{{0xc000'0000'0000'0000}, {0xc00f'ffff'ffff'ffff}},
};
constexpr std::array kHashRanges = {
    AddressRange{{0x0000'0000'0000'0000}, {0xffff'ffff'ffff'ffff}},
};

}  // namespace

std::span<const AddressRange> translated_ranges(Mmu mmu) {
  if (mmu == Mmu::radix) {
    return kRadixRanges;
  }
  return kHashRanges;
}

bool admits(Mmu mmu, GuestAddress first, std::uint64_t size) {
  const GuestAddress last = first + (size - 1);
  return first <= last &&
         std::ranges::any_of(translated_ranges(mmu), [&](const AddressRange& range) {
           return range.first <= first && last <= range.last;
         });
}

}  // namespace farcall::model
