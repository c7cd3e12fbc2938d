// Guest-physical memory that only the guest uses. What it shares with the host: wire/mailbox.hpp.
#pragma once

#include <cstdint>

#include "wire/mailbox.hpp"

namespace farcall::bare {

// Roots of the translation, aligned as the MMU wants them.
inline constexpr std::uint64_t kTranslationRoots = std::uint64_t{2} << 20;
inline constexpr std::uint64_t kGatePage = std::uint64_t{3} << 20;
inline constexpr std::uint64_t kUnusedPage = kGatePage + wire::kPageBytes;  // for H_PAGE_INIT
// QEMU remembers translations by the low bits of a page's number, 6 or more: what each job needs
// should differ in these. Tables are on pages 48 …; the runner's own are 0 … 7.
inline constexpr std::uint64_t kTablePool = (std::uint64_t{48} << 20) + 48 * wire::kPageBytes;
// Tables of radix translation: of each of three levels two for what a mapping may begin and end in,
// and one more for each 512 pages.
inline constexpr std::uint64_t kTablePoolBytes =
    std::uint64_t{3} * (2 * wire::kMaxMappings + wire::kMaxPages / 512) * wire::kPageBytes;

static_assert(wire::kControlAddress + wire::kPageBytes <= kTranslationRoots);
static_assert(kUnusedPage + wire::kPageBytes <= kTablePool);
static_assert(kTablePool + kTablePoolBytes <= wire::kAreasAddress);
static_assert(wire::kAreasAddress + wire::kAreaCount * wire::kAreaBytes <= wire::kRamBytes);

// Real mode: a physical address is an address.
template <typename T>
T* at_physical(std::uint64_t address) {
  return reinterpret_cast<T*>(address);
}

}  // namespace farcall::bare
