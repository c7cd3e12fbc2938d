#include "selection/edges.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "model/translation.hpp"
#include "selection/long_program.hpp"

namespace farcall::selection {
namespace {

using model::Placement;

constexpr std::int64_t kMiB = std::int64_t{1} << 20;
constexpr std::int64_t kGiB = std::int64_t{1} << 30;

// Parts are 1 MiB apart, so that none lies on another. A function is taken to have this size at
// most.
constexpr std::uint64_t kLargestBytes = std::uint64_t{1} << 18;

// Where the entry is at most edges: its distance to the TOC and to its callees matters. What a case
// does not place is within 64 MiB of text, and out of the way.
constexpr GuestAddress kText = {0xc000'0000'1000'0000};
constexpr GuestAddress kVmalloc = {0xc008'0000'0000'0000};

// The farthest that addis and addi reach from r2.
constexpr std::int64_t kTocTop = 0x7fff'7fff;
constexpr std::int64_t kTocBottom = -0x8000'8000LL;

// What of a program an edge places.
enum class Part : std::uint8_t { entry, callees, callees_in_reverse, helpers, stack };

struct Edge {
  std::string_view name;
  Part part;
  // Where it goes: an address, or a distance.
  enum class From : std::uint8_t { nowhere, entry, toc } from;
  std::int64_t at;
};

constexpr std::int64_t address(GuestAddress place, std::int64_t distance = 0) {
  return static_cast<std::int64_t>(place.value) + distance;
}

constexpr GuestAddress k4Gib = {0xc000'0001'0000'0000};

// Where the stack begins whose r1 at entry is so many bytes above `boundary`. A job's stack ends so
// many bytes above its r1.
constexpr std::int64_t stack_around(GuestAddress boundary, std::int64_t above) {
  constexpr std::int64_t kAboveEntry = 128;
  return address(boundary, above + kAboveEntry) - std::int64_t{model::kStackBytes};
}

// Beyond this distance an upper limit is what the edge is about.
constexpr std::int64_t kFar = 0x1000'0000;

// A helper is entered 8 bytes after its address.
constexpr std::int64_t kLocalEntry = 8;

constexpr std::array kEdges = {
    Edge{"entry-odd-word", Part::entry, Edge::From::nowhere, address(kText, 4)},
    Edge{"callees-2-words", Part::callees, Edge::From::nowhere, address(kVmalloc)},
    Edge{"callees-3-words", Part::callees, Edge::From::nowhere, address(kVmalloc, 0x10'0000)},
    Edge{"callees-4-words", Part::callees, Edge::From::nowhere, address(kVmalloc, 0x12'a468)},
    Edge{"callees-5-words", Part::callees, Edge::From::nowhere, address(kVmalloc, 0x5'1234'8abc)},
    Edge{"callees-odd-word", Part::callees, Edge::From::nowhere, address(kVmalloc, 0x12'a46c)},
    Edge{"callees-in-reverse", Part::callees_in_reverse, Edge::From::entry, 64 * kMiB},
    Edge{"callees-in-reverse-below", Part::callees_in_reverse, Edge::From::entry, -kMiB},
    Edge{"callees-32-mib", Part::callees, Edge::From::entry, 32 * kMiB},
    Edge{"callees-32-mib-less", Part::callees, Edge::From::entry, 32 * kMiB - 4},
    Edge{"callees-minus-32-mib", Part::callees, Edge::From::entry, -32 * kMiB},
    Edge{"callees-2-gib", Part::callees, Edge::From::entry, 2 * kGiB},
    Edge{"callees-2-gib-less", Part::callees, Edge::From::entry, 2 * kGiB - 4},
    Edge{"callees-8-gib", Part::callees, Edge::From::entry, 8 * kGiB},
    Edge{"callees-8-gib-less", Part::callees, Edge::From::entry, 8 * kGiB - 4},
    Edge{"helpers-bit-15-clear", Part::helpers, Edge::From::toc, 0x1f'0000 - kLocalEntry},
    Edge{"helpers-bit-15-set", Part::helpers, Edge::From::toc, 0x1f'8000 - kLocalEntry},
    Edge{"helpers-toc-top", Part::helpers, Edge::From::toc, kTocTop - 3 - kLocalEntry},
    Edge{"helpers-toc-beyond", Part::helpers, Edge::From::toc, kTocTop + 1 - kLocalEntry},
    Edge{"helpers-toc-bottom", Part::helpers, Edge::From::toc, kTocBottom - kLocalEntry},
    // The 4 GiB boundary lies in the entry's frame, and between that and its caller's. Linux counts
    // tail calls in a doubleword below r1 at entry, and newer ones point there from subprograms:
    // right below the boundary, right above it, and so far above that no count is as large.
    Edge{"stack-4-gib", Part::stack, Edge::From::nowhere, stack_around(k4Gib, 0x100)},
    Edge{"stack-4-gib-at-entry", Part::stack, Edge::From::nowhere, stack_around(k4Gib, 0)},
    Edge{"stack-4-gib-below-count", Part::stack, Edge::From::nowhere, stack_around(k4Gib, 0x10)},
    Edge{"stack-4-gib-far-below-count", Part::stack, Edge::From::nowhere,
         stack_around(k4Gib, 0x40)},
};

// Moves the parts that the edge is about; false: the program has none of them.
bool place(const Edge& edge, const bpf::Program& program, Placement& placement) {
  const GuestAddress origin = edge.from == Edge::From::entry ? placement.functions.front()
                              : edge.from == Edge::From::toc ? placement.toc
                                                             : GuestAddress{};
  GuestAddress at = origin + Displacement{edge.at};
  const std::size_t functions = program.functions.size();
  bool moved = false;
  switch (edge.part) {
    case Part::entry:
      placement.functions.front() = at;
      return true;
    case Part::stack:
      placement.stack = at;
      return true;
    case Part::callees:
    case Part::callees_in_reverse:
      for (std::size_t i = 1; i < functions; ++i) {
        placement.functions[i] = at;
        at = at + Displacement{edge.part == Part::callees ? kMiB : -kMiB};
        moved = true;
      }
      return moved;
    case Part::helpers:
      // Away from the limit, so that the first is the one at the edge.
      for (std::size_t i = 0; i < program.externals.size(); ++i) {
        if (program.externals[i].kind == bpf::ExternalKind::helper) {
          placement.functions[functions + i] = at;
          at = at + Displacement{edge.at > kFar ? -kMiB : kMiB};
          moved = true;
        }
      }
      return moved;
  }
  return false;
}

// The same from where the entry is in text.
bool place_from_text(const Edge& edge, const bpf::Program& program, Placement& placement) {
  placement.functions.front() = kText;
  if (edge.from == Edge::From::toc) {
    placement.call_base = placement.toc;
  }
  return place(edge, program, placement);
}

std::uint64_t page_of(GuestAddress address) {
  return address.value / model::kPageBytes;
}

bool lies_well(const model::Cell& cell, std::uint64_t entry_bytes = kLargestBytes) {
  struct Extent {
    GuestAddress first;
    std::uint64_t bytes;
    bool is_code = false;
  };
  std::vector<Extent> extents;
  for (const GuestAddress function : cell.placement.functions) {
    extents.push_back({function, extents.empty() ? entry_bytes : kLargestBytes, true});
  }
  for (const bpf::MemoryRegion& region : cell.memory) {
    extents.push_back({region.address, region.bytes.size()});
  }
  extents.push_back({cell.placement.stack, model::kStackBytes});
  std::ranges::sort(extents, {}, &Extent::first);
  for (std::size_t i = 0; i < extents.size(); ++i) {
    if (extents[i].bytes != 0 && !admits(cell.axes.mmu, extents[i].first, extents[i].bytes)) {
      return false;
    }
    if (i == 0) {
      continue;
    }
    // Code and data share no page.
    const Extent& before = extents[i - 1];
    const std::uint64_t apart = extents[i].first.value - before.first.value;
    const bool share_page = before.is_code != extents[i].is_code &&
                            page_of(before.first + (before.bytes - 1)) == page_of(extents[i].first);
    if (apart < before.bytes || (before.bytes != 0 && share_page)) {
      return false;
    }
  }
  return true;
}

// Programs that were made longer, of programs that many cells share.
using Longer = std::map<std::pair<std::shared_ptr<const bpf::Program>, const Lengthening*>,
                        std::shared_ptr<const bpf::Program>>;

// The cell with its program in other lengths, or as many of them as may be made.
Result<void> add_longer(const model::Cell& cell, std::size_t index, const Move& move,
                        LargePrograms& large, Longer& known, std::vector<model::Cell>& all) {
  Placement placement = cell.placement;
  placement.functions.front() = kText;
  FARCALL_TRY(moved, move(index, placement));
  const auto& lengths = lengthenings();
  const bool has_large = std::ranges::any_of(
      lengths, [&](const Lengthening& by) { return by.is_large && suits(by, *cell.program); });
  if (!moved) {
    return success();
  }
  const bool may_be_large = has_large && large.made < large.most;
  large.made += may_be_large ? 1 : 0;
  large.left_out += has_large && !may_be_large ? 1 : 0;
  for (const Lengthening& by : lengths) {
    if (by.is_large && !may_be_large) {
      continue;
    }
    model::Cell longer_cell = *moved;
    std::shared_ptr<const bpf::Program>& made = known[{moved->program, &by}];
    if (!made) {
      made = std::make_shared<const bpf::Program>(longer(*moved->program, by));
    }
    longer_cell.program = made;
    longer_cell.name = by.name;
    if (lies_well(longer_cell, by.is_large ? kLongestReachBytes : kLargestBytes)) {
      all.push_back(std::move(longer_cell));
    }
  }
  return success();
}

}  // namespace

std::size_t edge_count() {
  return kEdges.size();
}

bool place_at_edge(std::size_t edge, const bpf::Program& program, Placement& placement) {
  return place_from_text(kEdges[edge], program, placement);
}

Result<std::vector<model::Cell>> at_edges(const std::vector<model::Cell>& cells, const Move& move,
                                          LargePrograms& large) {
  std::vector<model::Cell> all;
  std::set<std::pair<std::string, model::AxisValues>> done;
  Longer longer_programs;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const model::Cell& cell = cells[i];
    if (!cell.program || cell.expected.failure || cell.control) {
      continue;
    }
    model::AxisValues axes = cell.axes;
    axes.call = model::CallScheme::aux64;
    axes.reach = model::Reach::abs64;
    const std::string case_name = cell.name.substr(0, cell.name.find('@'));
    if (!done.insert({case_name, axes}).second) {
      continue;
    }
    std::vector<model::Cell> made;
    for (const Edge& edge : kEdges) {
      Placement placement = cell.placement;
      if (!place_from_text(edge, *cell.program, placement)) {
        continue;
      }
      FARCALL_TRY(moved, move(i, placement));
      if (!moved || !lies_well(*moved)) {
        continue;
      }
      moved->name = edge.name;
      made.push_back(std::move(*moved));
    }
    FARCALL_TRYV(add_longer(cell, i, move, large, longer_programs, made));
    for (model::Cell& one : made) {
      one.axes = axes;
      one.name =
          fmt::format("{}{}edge-{}", cell.name, cell.name == case_name ? "@" : "-", one.name);
      all.push_back(std::move(one));
    }
  }
  return all;
}

}  // namespace farcall::selection
