// Placement: from the expressions of a case to addresses for one cell.
//
// What the case does not place has a default, far apart as in a real kernel:
//   functions  vmalloc+64K, each further one 64 KiB after the one before
//   callbase   text+1M
//   mem        text+16M
//   toc        text+24M
//   stack      text+32M
//   data       text+40M, each further one 1 MiB after the one before; arrays likewise
//   helpers    text+64M, each further one 1 MiB on
//   kfuncs     vmalloc+512M, likewise
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/address.hpp"
#include "base/error.hpp"
#include "bpf/program.hpp"
#include "case/case_file.hpp"
#include "case/expression.hpp"
#include "model/axes.hpp"
#include "model/cell.hpp"

namespace farcall::cases {

struct ResolvedPlacement {
  model::Placement placement;
  std::vector<GuestAddress> items;  // by number; of mem as if it were there

  GuestAddress of(Item item) const { return items[index(item)]; }
};

// By number of the item: the line that places it, or none for its default.
using PlaceLines = std::vector<const Located<PlacedItem>*>;

// What only a JIT knows of a program's code; the caller, who has a JIT, provides it. None of it may
// depend on where anything but the function itself lies.
struct CodeLayout {
  // Where the code of the call at `site` begins if its function lies at `function`: what
  // `site(main[0])` is.
  std::function<Result<GuestAddress>(const bpf::Program& program, const model::AxisValues& axes,
                                     bpf::CallSite site, GuestAddress function)>
      site;
  // How many bytes the code of each function has.
  std::function<Result<std::vector<std::uint64_t>>(const bpf::Program& program,
                                                   const model::AxisValues& axes)>
      sizes;
  // An upper bound of `sizes`, whatever the axes, found without making any code. If the functions
  // of a cell have that much room, `sizes` is not called.
  std::function<std::vector<std::uint64_t>(const bpf::Program& program)> at_most;
};

// The least distance from the begin of a function to the next one, if that has no place of its own.
inline constexpr std::uint64_t kFunctionGap = std::uint64_t{64} << 10;

// Functions must be word aligned and the stack aligned to model::kStackAlignment. Functions, mem,
// data and stack must lie where the MMU can map them, and must not overlap: mem, data and stack
// take whole pages; a function takes its code, or its first word if its size is not known.
// place.misaligned, place.unmappable, place.overlap, place.cycle, place.unknown-region; an error is
// located at the line that places the item, or where the program begins if only defaults are
// involved. `sweep` is added where a line has one. What `site` fails with is located, too.
Result<ResolvedPlacement> resolve_placement(const Case& parsed, const model::AxisValues& axes,
                                            const CodeLayout& layout,
                                            std::span<const std::uint64_t> sizes,
                                            const PlaceLines& lines, std::int64_t sweep = 0);

}  // namespace farcall::cases
