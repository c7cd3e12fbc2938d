#include "campaign/coverage.hpp"

#include <fmt/format.h>

#include <string_view>

#include "bpf/instruction.hpp"
#include "campaign/finding.hpp"
#include "model/code_map.hpp"
#include "model/region.hpp"

namespace farcall::campaign {
namespace {

std::string in_one(const StoredCoverage& one) {
  return one.kind + one.trait + '\n' + one.shape;
}

// How far a call goes, by what reaches are made of.
std::string_view distance_class(std::int64_t distance) {
  constexpr std::int64_t kMiB = std::int64_t{1} << 20;
  const std::int64_t far = distance < 0 ? -distance : distance;
  return far < 32 * kMiB                 ? "below 32 MiB"
         : far < 2048 * kMiB             ? "below 2 GiB"
         : far < 8192 * kMiB             ? "below 8 GiB"
         : far < (std::int64_t{1} << 40) ? "below 1 TiB"
                                         : "1 TiB and more";
}

}  // namespace

Coverage::Coverage(const std::vector<std::string>& jits, Store& store) : covered_(jits.size()) {
  for (std::size_t i = 0; i < jits.size(); ++i) {
    for (const StoredCoverage& one : store.coverage(jits[i])) {
      covered_[i].insert(in_one(one));
    }
  }
}

std::vector<StoredCoverage> Coverage::news(std::size_t jit, const run::FinishedCell& cell) {
  std::vector<StoredCoverage> news;
  if (!cell.testimony.image) {
    return news;
  }
  const auto add = [&](StoredCoverage one) {
    const std::scoped_lock lock(mutex_);
    if (covered_[jit].insert(in_one(one)).second) {
      news.push_back(std::move(one));
    }
  };
  const bpf::Program& program = *cell.document->cell.program;
  const model::CodeImage& image = *cell.testimony.image;
  for (const model::PlacedInstruction& placed : code_map(program, image).instructions) {
    const std::uint64_t key = code_key(program, image, placed);
    {
      const std::scoped_lock lock(mutex_);
      if (!keys_.insert({jit, key}).second) {
        continue;
      }
    }
    add({.kind = "code", .trait = trait(program, placed.slot), .shape = code_shape(image, placed)});
  }
  const model::AxisValues& axes = cell.document->cell.axes;
  const model::Placement& placement = cell.document->cell.placement;
  for (const bpf::CallInstruction& call : call_instructions(program)) {
    if (!call.callee || call.slot >= program.slots.size()) {
      continue;
    }
    const GuestAddress from = placement.functions[call.site.function];
    const GuestAddress to = placement.functions[*call.callee];
    add({.kind = "call",
         .trait = std::string(name(site_kind(program, call))),
         .shape = fmt::format("{} to {}, {}, {}", region_of(axes.mmu, from).name,
                              region_of(axes.mmu, to).name,
                              distance_class(static_cast<std::int64_t>(to.value - from.value)),
                              value_name(axes, model::Axis::reach))});
  }
  return news;
}

}  // namespace farcall::campaign
