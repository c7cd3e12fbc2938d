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

// What only a JIT knows of a program's code: whoever has one says it. None of it may depend on
// where anything but the function itself lies.
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
  // No fewer bytes than `sizes` says, whatever the axes, and found without making any code. Where
  // the functions of a cell have that much room, nobody asks for `sizes`.
  std::function<std::vector<std::uint64_t>(const bpf::Program& program)> at_most;
};

// What a function without a place has for itself after the one before it, at least.
inline constexpr std::uint64_t kFunctionGap = std::uint64_t{64} << 10;

// Functions must be word aligned and the stack page aligned; functions, mem and stack must lie
// where the MMU can map them, and none of them may begin in what another one covers: mem and stack
// their pages, a function its code, or its first word where `sizes` does not say how long that is.
// place.misaligned, place.unmappable, place.overlap, place.cycle, place.unknown-region; the error
// is where the item was placed, or where the program begins if all that matters are defaults.
// `sweep` is added where a line has one. What `site` fails with is located too.
Result<ResolvedPlacement> resolve_placement(const Case& parsed, const model::AxisValues& axes,
                                            const CodeLayout& layout,
                                            std::span<const std::uint64_t> sizes,
                                            const PlaceLines& lines, std::int64_t sweep = 0);

}  // namespace farcall::cases
