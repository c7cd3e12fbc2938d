#include "case/region.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

#include "case/text.hpp"

namespace farcall::cases {
namespace {

using model::Mmu;

struct RegionRow {
  Mmu mmu = {};
  std::string_view name;
  GuestAddress start;
};

constexpr std::array kRegions = {
    RegionRow{Mmu::radix, "text", {0xc000000000000000}},     // kernel text and the linear map
    RegionRow{Mmu::radix, "vmalloc", {0xc008000000000000}},  // where JITed code lives: 2 PiB on
    RegionRow{Mmu::radix, "io", {0xc00a000000000000}},
    RegionRow{Mmu::radix, "vmemmap", {0xc00c000000000000}},
    RegionRow{Mmu::radix, "user", {0x0000000000000000}},
    // With 4K pages, as our guest has them, 61 TiB of linear map and then 1 TiB for each of these.
    RegionRow{Mmu::hash, "text", {0xc000000000000000}},
    RegionRow{Mmu::hash, "vmalloc", {0xc0003d0000000000}},
    RegionRow{Mmu::hash, "io", {0xc0003e0000000000}},
    RegionRow{Mmu::hash, "vmemmap", {0xc0003f0000000000}},
    RegionRow{Mmu::hash, "user", {0x0000000000000000}},
    RegionRow{Mmu::hash, "vmalloc_64k", {0xc008000000000000}},   // with 64K pages
    RegionRow{Mmu::hash, "vmalloc_2018", {0xd000000000000000}},  // in kernels of 2018: 1 EiB on
};

struct RangeRow {
  Mmu mmu = {};
  GuestAddress first;
  GuestAddress last;
};

// Hash translates any address (a cell may not need more segments of 256 MiB than the SLB has, which
// is for the guest to say). Radix translates 52 bits of quadrant 0 and quadrant 3; all else faults
// with 0x380 or 0x480.
constexpr std::array kAdmitted = {
    RangeRow{Mmu::radix, {0x0000000000000000}, {0x000fffffffffffff}},
    RangeRow{Mmu::radix, {0xc000000000000000}, {0xc00fffffffffffff}},
    RangeRow{Mmu::hash, {0x0000000000000000}, {0xffffffffffffffff}},
};

}  // namespace

bool is_region(std::string_view name) {
  return std::ranges::find(kRegions, name, &RegionRow::name) != kRegions.end();
}

std::optional<GuestAddress> region_start(Mmu mmu, std::string_view name) {
  for (const RegionRow& row : kRegions) {
    if (row.mmu == mmu && row.name == name) {
      return row.start;
    }
  }
  return std::nullopt;
}

std::string region_names() {
  std::vector<std::string_view> names;
  for (const RegionRow& row : kRegions) {
    if (std::ranges::find(names, row.name) == names.end()) {
      names.push_back(row.name);
    }
  }
  return list(names);
}

bool admits(Mmu mmu, GuestAddress first, std::uint64_t size) {
  const GuestAddress last = first + (size - 1);
  return first <= last && std::ranges::any_of(kAdmitted, [&](const RangeRow& row) {
           return row.mmu == mmu && row.first <= first && last <= row.last;
         });
}

std::string admitted_ranges(Mmu mmu) {
  std::string text;
  for (const RangeRow& row : kAdmitted) {
    if (row.mmu == mmu) {
      text += fmt::format("{}{} to {}", text.empty() ? "" : " and ", to_string(row.first),
                          to_string(row.last));
    }
  }
  return text;
}

}  // namespace farcall::cases
