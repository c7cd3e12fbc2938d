// The cells of a case: its matrix multiplied out.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/error.hpp"
#include "case/case_file.hpp"
#include "case/placement.hpp"
#include "model/cell.hpp"

namespace farcall::cases {

// More cells than this in one case are a slip of the pen.
inline constexpr std::size_t kMaxCells = 4096;

// One cell for each possible combination of the declared axes' values, in the order of the axes and
// of the values in the file, and in each for each named placement. A named placement is in a cell
// if one of its sections selects it; the lines of all its sections and of unnamed ones then apply.
//
// A cell's name is the case's, and after an `@` the values of the axes that the case declares and
// the name of the placement, joined by `-`: `far-2g@imm32-near`. The value of a sweep is after the
// placement: `limit@imm32-above.m4`, `limit@imm32-above.p0`.
//
// After each cell come those that `-- spoiled` makes of it: with a fault, whose name is the last of
// their names.
//
// r1 is the address of mem and r2 its length, both 0 without memory, unless `-- regs` says more.
// Every cell has one outcome: the result of the one `-- result` that selects it along with all
// lines of `-- calls` and `-- mem-after` that do, or the one `-- fail`, which replaces them all.
//
// case.two-outcomes, case.no-outcome, case.selects-nothing, case.unsupported, place.*; what
// `layout.site` fails with, and case.unsupported for site() where nobody is there to ask.
Result<std::vector<model::Cell>> cells(const Case& parsed, const CodeLayout& layout = {});

// A cell, and the placement that it has: what selectors select by.
struct PlacedCell {
  model::Cell cell;
  std::optional<std::uint32_t> placement;  // index into Case::placements
  std::optional<std::int64_t> sweep;       // the value, in a placement that sweeps
  std::vector<GuestAddress> items;         // where each item is, by its number
};
// What is in the memory of a cell. To name cells, it is not wanted: regions may have megabytes.
enum class Contents : std::uint8_t { all, none };
Result<std::vector<PlacedCell>> placed_cells(const Case& parsed, const CodeLayout& layout = {},
                                             Contents contents = Contents::all);

// The cell at another placement; everything in it that depends on where functions are, such as
// tables in its data and results that are addresses, is changed with it. Whether its parts can lie
// there is not checked.
Result<model::Cell> moved(const Case& parsed, const PlacedCell& placed, model::Placement to);

}  // namespace farcall::cases
