// Hash translation, Power ISA 2.07 Book III-S sections 5.7.6 to 5.7.9: the segment lookaside buffer
// (SLB) gives each 256 MiB segment of effective addresses a virtual segment identifier (VSID), and
// the page table gives each 4 KiB page of a virtual segment its physical page.
//
// The page table is the hypervisor's. It has groups of eight entries, and a page has two groups
// that may hold its entry, chosen by a hash of VSID and page number. Each job's segments get VSIDs that
// no entry has. What was entered for jobs before stays until there is no more room to remember it, or
// both groups of a page are full: no segment leads to it any more, and to remove it after each job
// has QEMU forget all translations once for each four pages.
#include "hypercall.hpp"
#include "layout.h"
#include "memory_map.hpp"
#include "mmu/mmu.hpp"

namespace farcall::bare {
namespace {

constexpr unsigned kPageShift = 12;
constexpr unsigned kSegmentShift = 28;
constexpr std::uint64_t kSegmentBytes = std::uint64_t{1} << kSegmentShift;

// pseries gives a guest a page table of 1/128 of its memory.
constexpr std::uint64_t kGroupEntries = 8;
constexpr std::uint64_t kGroupBytes = kGroupEntries * 16;
constexpr std::uint64_t kGroupCount = wire::kRamBytes / 128 / kGroupBytes;

// First doubleword of an entry: what it translates, from bit 7 on the address without its low 23
// bits.
constexpr unsigned kAbbreviatedShift = 23;
constexpr unsigned kAbbreviatedAt = 7;
constexpr std::uint64_t kSecondary = 2;  // it stands in the second of its groups
constexpr std::uint64_t kValid = 1;
// Second doubleword: the physical page, and what may be done with it.
constexpr std::uint64_t kReferencedChanged = 0x180;
constexpr std::uint64_t kMemoryCoherent = 0x10;  // of WIMG, the one that memory must have
constexpr std::uint64_t kNoExecute = 0x4;
// Page protection. These two values mean the same whatever the segment's keys are.
constexpr std::uint64_t kReadWrite = 2;
constexpr std::uint64_t kReadOnly = 3;

constexpr std::uint64_t kRights[] = {kReadOnly, kReadOnly | kNoExecute,
                                     kReadWrite | kNoExecute};  // by wire::Access

// slbmte: RB says which segment and which entry, RS its VSID.
constexpr std::uint64_t kSegmentValid = std::uint64_t{1} << 27;
constexpr unsigned kVsidShift = 12;

constexpr std::int64_t kGroupFull = -6;  // H_PTEG_FULL

// Arguments of H_BULK_REMOVE: pairs of a request with an entry's number, and a condition (none).
constexpr std::uint64_t kRequest = std::uint64_t{1} << 62;
constexpr std::uint64_t kEndOfRequests = std::uint64_t{3} << 62;
constexpr unsigned kResponseShift = 60;
constexpr std::uint64_t kRemoved = 8;

struct Page {
  std::uint64_t address;
  std::uint64_t translation;  // second doubleword of its entry
  std::uint64_t segment;      // index in `segments`
};

[[gnu::section(".bss.large")]] Page pages[wire::kMaxPages];
std::uint64_t page_count = 0;
std::uint64_t segments[wire::kMaxSegments];  // their first addresses
std::uint64_t segment_count = 0;
[[gnu::section(
    ".bss.large")]] std::uint64_t entries[wire::kMaxPages];  // numbers of those in the page table
std::uint64_t entry_count = 0;
std::uint64_t attempt = 0;  // which VSIDs the last job has

// VSIDs whose hashes lie far apart, so that neither neighbouring nor regularly spaced pages of
// different segments crowd into the same groups. Distinct for each attempt and segment, never 0.
std::uint64_t vsid(std::uint64_t segment) {
  constexpr std::uint64_t kSpread = 10125;  // odd; 2^14 by the golden ratio
  return (attempt * wire::kMaxSegments + segment + 1) * kSpread;
}

std::uint64_t segment_of(std::uint64_t address) {
  const std::uint64_t first = address & ~(kSegmentBytes - 1);
  for (std::uint64_t i = 0; i < segment_count; ++i) {
    if (segments[i] == first) {
      return i;
    }
  }
  segments[segment_count] = first;
  return segment_count++;
}

// Whether one of the page's groups had room.
bool enter(const Page& page) {
  const std::uint64_t virtual_segment = vsid(page.segment);
  const std::uint64_t in_segment = page.address & (kSegmentBytes - 1);
  const std::uint64_t hash = virtual_segment ^ in_segment >> kPageShift;
  const std::uint64_t abbreviated =
      virtual_segment << (kSegmentShift - kAbbreviatedShift) | in_segment >> kAbbreviatedShift;
  std::uint64_t group = hash % kGroupCount;
  std::uint64_t flags = kValid;
  for (unsigned tries = 0; tries < 2; ++tries) {
    const auto entered = hypercall(Hypercall::enter, 0, group * kGroupEntries,
                                   abbreviated << kAbbreviatedAt | flags, page.translation);
    if (entered.status == 0) {
      entries[entry_count++] = entered.value;
      return true;
    }
    if (entered.status != kGroupFull) {
      __builtin_trap();
    }
    group = ~hash % kGroupCount;
    flags |= kSecondary;
  }
  return false;
}

[[gnu::cold]] bool enter_all() {
  for (std::uint64_t i = 0; i < page_count; ++i) {
    if (!enter(pages[i])) {
      return false;
    }
  }
  return true;
}

[[gnu::cold]] void remove_entries() {
  constexpr unsigned kRequests = 4;
  for (std::uint64_t i = 0; i < entry_count; i += kRequests) {
    std::uint64_t arguments[2 * kRequests];
    for (unsigned k = 0; k < kRequests; ++k) {
      arguments[2 * k] = i + k < entry_count ? kRequest | entries[i + k] : kEndOfRequests;
      arguments[2 * k + 1] = 0;
    }
    if (hypercall(Hypercall::bulk_remove, arguments) != 0) {
      __builtin_trap();
    }
    for (unsigned k = 0; k < kRequests && i + k < entry_count; ++k) {
      if (arguments[2 * k] >> kResponseShift != kRemoved) {
        __builtin_trap();
      }
    }
  }
  entry_count = 0;
}

void set_segment(std::uint64_t slot, std::uint64_t address, std::uint64_t virtual_segment) {
  asm volatile("slbmte %0, %1"
               :
               : "r"(virtual_segment << kVsidShift), "r"(address | kSegmentValid | slot)
               : "memory");
}

void drop_segments() {
  asm volatile("slbie %0; slbia; isync" : : "r"(segments[0]) : "memory");  // slbia leaves entry 0
}

[[gnu::cold]] void initialize() {
  drop_segments();
}

[[gnu::cold]] void map_pages(std::uint64_t address, std::uint64_t physical, std::uint64_t count,
                             wire::Access access) {
  const std::uint64_t flags =
      kReferencedChanged | kMemoryCoherent | kRights[static_cast<std::uint32_t>(access)];
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t offset = i * wire::kPageBytes;
    pages[page_count++] = {address + offset, (physical + offset) | flags,
                           segment_of(address + offset)};
  }
}

[[gnu::cold]] void map_gate(std::uint64_t address, std::uint64_t physical) {
  map_pages(address, physical, 1, wire::Access::execute);
}

[[gnu::cold]] void finish_mapping() {
  constexpr std::uint64_t kAttempts = 1000;  // far more than the few hundred pages can ever need
  if (entry_count + page_count > wire::kMaxPages) {
    remove_entries();
  }
  attempt = entry_count == 0 ? 0 : attempt + 1;
  for (std::uint64_t last = attempt + kAttempts; !enter_all();) {
    remove_entries();
    if (++attempt == last) {
      __builtin_trap();
    }
  }
  for (std::uint64_t i = 0; i < segment_count; ++i) {
    set_segment(i, segments[i], vsid(i));
  }
  asm volatile("isync" : : : "memory");
}

[[gnu::cold]] void unmap_all() {
  drop_segments();
  page_count = 0;
  segment_count = 0;
}

}  // namespace

const Mmu kHash = {wire::Mmu::hash, initialize, map_pages, map_gate, finish_mapping, unmap_all};

}  // namespace farcall::bare
