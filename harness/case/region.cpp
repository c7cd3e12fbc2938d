#include "case/region.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>
#include <vector>

#include "case/text.hpp"
#include "model/region.hpp"
#include "model/translation.hpp"

namespace farcall::cases {
namespace {

// Radix first: the order in which people know them.
constexpr std::array kMmus = {model::Mmu::radix, model::Mmu::hash};

std::vector<std::string_view> all_names() {
  std::vector<std::string_view> names;
  for (const model::Mmu mmu : kMmus) {
    for (const model::Region& region : model::regions(mmu)) {
      if (std::ranges::find(names, region.name) == names.end()) {
        names.push_back(region.name);
      }
    }
  }
  return names;
}

}  // namespace

bool is_region(std::string_view name) {
  return std::ranges::any_of(
      kMmus, [name](model::Mmu mmu) { return region_start(mmu, name).has_value(); });
}

std::optional<GuestAddress> region_start(model::Mmu mmu, std::string_view name) {
  const std::span<const model::Region> regions = model::regions(mmu);
  const auto found = std::ranges::find(regions, name, &model::Region::name);
  return found == regions.end() ? std::nullopt : std::optional(found->start);
}

std::string region_names() {
  return list(all_names());
}

std::string admitted_ranges(model::Mmu mmu) {
  std::string text;
  for (const model::AddressRange& range : model::translated_ranges(mmu)) {
    text += fmt::format("{}{} to {}", text.empty() ? "" : " and ", to_string(range.first),
                        to_string(range.last));
  }
  return text;
}

}  // namespace farcall::cases
