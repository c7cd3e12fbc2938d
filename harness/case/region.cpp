#include "case/region.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

#include "case/text.hpp"
#include "model/translation.hpp"

namespace farcall::cases {
namespace {

using model::Mmu;

struct RegionRow {
  Mmu mmu = {};
  Region region;
};

constexpr std::array kRegions = {
    RegionRow{Mmu::radix, {"text", {0xc000000000000000}}},     // kernel text and the linear map
    RegionRow{Mmu::radix, {"vmalloc", {0xc008000000000000}}},  // where JITed code lives: 2 PiB on
    RegionRow{Mmu::radix, {"io", {0xc00a000000000000}}},
    RegionRow{Mmu::radix, {"vmemmap", {0xc00c000000000000}}},
    RegionRow{Mmu::radix, {"user", {0x0000000000000000}}},
    // With 4K pages, as our guest has them, 61 TiB of linear map and then 1 TiB for each of these.
    RegionRow{Mmu::hash, {"text", {0xc000000000000000}}},
    RegionRow{Mmu::hash, {"vmalloc", {0xc0003d0000000000}}},
    RegionRow{Mmu::hash, {"io", {0xc0003e0000000000}}},
    RegionRow{Mmu::hash, {"vmemmap", {0xc0003f0000000000}}},
    RegionRow{Mmu::hash, {"user", {0x0000000000000000}}},
    RegionRow{Mmu::hash, {"vmalloc_64k", {0xc008000000000000}}},   // with 64K pages
    RegionRow{Mmu::hash, {"vmalloc_2018", {0xd000000000000000}}},  // in kernels of 2018: 1 EiB on
};

}  // namespace

bool is_region(std::string_view name) {
  return std::ranges::any_of(kRegions,
                             [name](const RegionRow& row) { return row.region.name == name; });
}

std::vector<Region> regions(Mmu mmu) {
  std::vector<Region> all;
  for (const RegionRow& row : kRegions) {
    if (row.mmu == mmu) {
      all.push_back(row.region);
    }
  }
  return all;
}

std::optional<GuestAddress> region_start(Mmu mmu, std::string_view name) {
  for (const RegionRow& row : kRegions) {
    if (row.mmu == mmu && row.region.name == name) {
      return row.region.start;
    }
  }
  return std::nullopt;
}

std::string region_names() {
  std::vector<std::string_view> names;
  for (const RegionRow& row : kRegions) {
    if (std::ranges::find(names, row.region.name) == names.end()) {
      names.push_back(row.region.name);
    }
  }
  return list(names);
}

std::string admitted_ranges(Mmu mmu) {
  std::string text;
  for (const model::AddressRange& range : model::translated_ranges(mmu)) {
    text += fmt::format("{}{} to {}", text.empty() ? "" : " and ", to_string(range.first),
                        to_string(range.last));
  }
  return text;
}

}  // namespace farcall::cases
