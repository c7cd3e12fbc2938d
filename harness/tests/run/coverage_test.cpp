// cases/ as a whole: all cells pass, and every legal combination is among them. What is legal is
// worked out here from the axes, the regions and the limits of reaches and schemes.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "case/hardware.hpp"
#include "model/region.hpp"
#include "model/translation.hpp"
#include "run/runner.hpp"
#include "selection/code_layout.hpp"
#include "selection/select.hpp"
#include "tests/farcall_process.hpp"

namespace farcall::run::coverage_test {
namespace {

using namespace tests;

using model::Axis;
using model::AxisValues;

using Tuples = std::set<std::string>;

// All combinations of values that some hardware has.
std::vector<AxisValues> possible_axes() {
  std::vector<AxisValues> all(1);
  for (const Axis axis : {Axis::endian, Axis::cpu, Axis::mmu, Axis::abi, Axis::call, Axis::reach}) {
    std::vector<AxisValues> next;
    for (const AxisValues& values : all) {
      for (std::size_t i = 0; i < model::value_names(axis).size(); ++i) {
        next.push_back(values);
        set_value(next.back(), axis, i);
      }
    }
    all = std::move(next);
  }
  std::erase_if(all, [](const AxisValues& axes) { return !cases::is_possible(axes); });
  return all;
}

std::string names(const AxisValues& axes, std::initializer_list<Axis> which) {
  std::string text;
  for (const Axis axis : which) {
    text += fmt::format("{} ", value_name(axes, axis));
  }
  return text;
}

// Regions and pairs of them.

// From a region's start to the next one's, or to the end of what the MMU maps there.
struct Extent {
  std::string_view name;
  GuestAddress first;
  GuestAddress last;
};

std::vector<Extent> extents(model::Mmu mmu) {
  std::vector<Extent> all;
  for (const model::Region& region : model::regions(mmu)) {
    all.push_back({.name = region.name, .first = region.start, .last = {}});
  }
  std::ranges::sort(all, {}, &Extent::first);
  for (std::size_t i = 0; i < all.size(); ++i) {
    const std::uint64_t next = i + 1 < all.size() ? all[i + 1].first.value : 0;
    all[i].last = {next - 1};
    for (const model::AddressRange& range : model::translated_ranges(mmu)) {
      if (range.first <= all[i].first && all[i].first <= range.last) {
        all[i].last = std::min(all[i].last, range.last);
      }
    }
  }
  return all;
}

const Extent& extent_of(const std::vector<Extent>& all, GuestAddress address) {
  return *std::ranges::find_if(
      all, [&](const Extent& e) { return e.first <= address && address <= e.last; });
}

// Whether somewhere in the two a callee is within `distance` of its caller; the address space is a
// circle to a CPU.
bool are_within(std::uint64_t distance, const Extent& a, const Extent& b) {
  const std::uint64_t up = b.first.value - a.last.value;
  const std::uint64_t down = a.first.value - b.last.value;
  return a.first == b.first || std::min(up, down) <= distance;
}

std::string pair_tuple(const AxisValues& axes, std::string_view caller, std::string_view callee) {
  return names(axes, {Axis::endian, Axis::cpu, Axis::mmu, Axis::abi, Axis::call, Axis::reach}) +
         fmt::format("{} → {}", caller, callee);
}

// toc counts from r2 and imm32 from the call base, which can be put near any callee; bl and pcrel
// count from the caller.
Tuples legal_pairs() {
  Tuples legal;
  for (const AxisValues& axes : possible_axes()) {
    std::uint64_t farthest = std::numeric_limits<std::uint64_t>::max();
    if (axes.reach == model::Reach::bl) {
      farthest = std::uint64_t{32} << 20;
    } else if (axes.reach == model::Reach::pcrel) {
      farthest = std::uint64_t{8} << 30;
    }
    const std::vector<Extent> all = extents(axes.mmu);
    for (const Extent& caller : all) {
      for (const Extent& callee : all) {
        if (are_within(farthest, caller, callee)) {
          legal.insert(pair_tuple(axes, caller.name, callee.name));
        }
      }
    }
  }
  return legal;
}

// Limits.

// The lowest and the highest multiple of 4 that is in reach, in bytes from the origin: written by
// hand, not taken from the product's tables.
struct Limit {
  std::string_view of;
  std::int64_t lowest;
  std::int64_t highest;
};
constexpr Limit kBl = {"bl", -33'554'432, 33'554'428};
constexpr Limit kToc = {"toc", -2'147'516'416, 2'147'450'876};
constexpr Limit kPcrel = {"pcrel", -8'589'934'592, 8'589'934'588};
constexpr Limit kImm32 = {"imm32", -2'147'483'648, 2'147'483'644};

constexpr std::int64_t kWordsAround = 4;

std::string limit_tuple(const AxisValues& axes, const Limit& limit, std::int64_t distance,
                        bool in_reach) {
  return names(axes, {Axis::endian, Axis::abi, Axis::call, Axis::reach}) +
         fmt::format("{:+#x} from the origin of {}: {}", distance, limit.of,
                     in_reach ? "reached" : "refused");
}

// Calls `visit` with each of the limits that a call of this kind has.
template <typename Visitor>
void for_each_limit(const AxisValues& axes, Visitor visit) {
  if (axes.reach == model::Reach::bl) {
    visit(kBl);
  } else if (axes.reach == model::Reach::toc) {
    visit(kToc);
  } else if (axes.reach == model::Reach::pcrel) {
    visit(kPcrel);
  }
  if (axes.call == model::CallScheme::imm32) {
    visit(kImm32);
  }
}

Tuples legal_limits() {
  Tuples legal;
  for (const AxisValues& axes : possible_axes()) {
    for_each_limit(axes, [&](const Limit& limit) {
      for (std::int64_t step = -kWordsAround; step <= kWordsAround; ++step) {
        legal.insert(limit_tuple(axes, limit, limit.highest + step * 4, step <= 0));
        legal.insert(limit_tuple(axes, limit, limit.lowest + step * 4, step >= 0));
      }
    });
  }
  return legal;
}

// Fields of 16 bits in the addresses that whole-address calls go to.

constexpr std::array<std::string_view, 4> kFieldKinds = {"0", "small", "0x8000 or more", "0xffff"};

std::size_t kind_of_field(std::uint64_t address, unsigned field) {
  const std::uint64_t value = address >> (16 * field) & 0xffff;
  const std::uint64_t ones = field == 0 ? 0xfffc : 0xffff;  // a word's address
  if (value == 0 || value == ones) {
    return value == 0 ? 0 : 3;
  }
  return value < 0x8000 ? 1 : 2;
}

std::string field_tuple(const AxisValues& axes, unsigned field, std::size_t kind) {
  return names(axes, {Axis::endian, Axis::abi}) + fmt::format("bits {}–{} of an address are {}",
                                                              16 * field, 16 * field + 15,
                                                              kFieldKinds[kind]);
}

Tuples legal_fields() {
  Tuples legal;
  for (const AxisValues& axes : possible_axes()) {
    for (unsigned field = 0; field < 4; ++field) {
      for (std::size_t kind = 0; kind < kFieldKinds.size(); ++kind) {
        legal.insert(field_tuple(axes, field, kind));
      }
    }
  }
  return legal;
}

// What the cells reach.

GuestAddress origin(const model::Cell& cell, const bpf::PseudoCall& call, const Limit& limit) {
  if (limit.of == kImm32.of) {
    return cell.placement.call_base;
  }
  if (limit.of == kToc.of) {
    return cell.placement.toc;
  }
  return selection::code_layout()
      .site(*cell.program, cell.axes, call.site, cell.placement.functions[call.site.function])
      .value();
}

class Reached {
 public:
  void add(const FinishedCell& finished) {
    const model::Cell& cell = finished.document->cell;
    ++cells_;
    EXPECT_EQ(finished.verdict.outcome, model::Outcome::pass) << cell.name;
    distinct_.insert(fingerprint(finished));
    const std::vector<bpf::PseudoCall> calls = bpf::pseudo_calls(*cell.program);
    for (const bpf::PseudoCall& call : calls) {
      const bool is_refused = cell.expected.failure &&
                              cell.expected.failure->site == to_string(*cell.program, call.site);
      if (!cell.expected.failure) {
        add_pair(cell, call);
      }
      if (!cell.expected.failure || is_refused) {
        add_limits(cell, call, !is_refused);
      }
    }
  }

  const Tuples& tuples() const { return tuples_; }
  std::size_t cells() const { return cells_; }
  std::size_t distinct() const { return distinct_.size(); }

 private:
  void add_pair(const model::Cell& cell, const bpf::PseudoCall& call) {
    const std::vector<Extent> all = extents(cell.axes.mmu);
    const GuestAddress callee = cell.placement.functions[call.callee];
    tuples_.insert(pair_tuple(cell.axes,
                              extent_of(all, cell.placement.functions[call.site.function]).name,
                              extent_of(all, callee).name));
    if (cell.axes.reach == model::Reach::abs64) {
      for (unsigned field = 0; field < 4; ++field) {
        tuples_.insert(field_tuple(cell.axes, field, kind_of_field(callee.value, field)));
      }
    }
  }

  void add_limits(const model::Cell& cell, const bpf::PseudoCall& call, bool in_reach) {
    for_each_limit(cell.axes, [&](const Limit& limit) {
      GuestAddress target = cell.placement.functions[call.callee];
      if (cell.axes.abi == model::Abi::elfv1 && limit.of != kImm32.of) {
        target = target + model::kDescriptorWords * 4;  // the branch goes to the code
      }
      const std::int64_t distance = bytes(target - origin(cell, call, limit));
      tuples_.insert(limit_tuple(cell.axes, limit, distance, in_reach));
    });
  }

  // Code, where it lies, and what came of it.
  static std::string fingerprint(const FinishedCell& finished) {
    std::string text =
        names(finished.document->cell.axes, {Axis::endian});  // the order of the bytes
    if (finished.testimony.image) {
      for (const model::CodeFunction& function : finished.testimony.image->functions) {
        text += fmt::format("{:x}:{:x} ", function.address.value, fmt::join(function.words, ","));
      }
    } else {
      for (const GuestAddress address : finished.document->cell.placement.functions) {
        text += fmt::format("{:x} ", address.value);
      }
      text += name(finished.document->cell.expected.failure.value().code);
    }
    return text + fmt::format("= {:x}", finished.verdict.result.value_or(0));
  }

  Tuples tuples_;
  std::set<std::string> distinct_;
  std::size_t cells_ = 0;
};

void expect_all(const Tuples& legal, const Tuples& reached, std::string_view what) {
  std::vector<std::string> missing;
  std::ranges::set_difference(legal, reached, std::back_inserter(missing));
  constexpr std::size_t kShown = 20;
  std::string text;
  for (std::size_t i = 0; i < std::min(missing.size(), kShown); ++i) {
    text += "\n  " + missing[i];
  }
  EXPECT_TRUE(missing.empty()) << "no cell reaches " << missing.size() << " of " << legal.size()
                               << " " << what << ", such as" << text;
}

TEST(Coverage, EveryLegalCombinationIsReachedAndPasses) {
  auto documents = selection::select_cells({.paths = {cases_folder().string()}});
  ASSERT_TRUE(documents) << to_string(documents.error());
  ASSERT_TRUE(documents.value().bad.empty());
  std::erase_if(documents.value().documents,
                [](const model::Document& one) { return one.cell.control.has_value(); });
  Reached reached;
  run_all(documents.value().documents,
          {.machines = 2, .images = farcall_binary().parent_path() / "images"},
          [&](const FinishedCell& finished) { reached.add(finished); });

  expect_all(legal_pairs(), reached.tuples(), "ways of calling from region to region");
  expect_all(legal_limits(), reached.tuples(), "targets around a limit");
  expect_all(legal_fields(), reached.tuples(), "kinds of fields");
  EXPECT_GE(reached.distinct(), 1000U);  // of code, placement and verdict
  fmt::print("{} cells, {} of them distinct in code, placement and verdict\n", reached.cells(),
             reached.distinct());
}

}  // namespace
}  // namespace farcall::run::coverage_test
