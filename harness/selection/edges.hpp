// `--placements edges`: the places where JITs have gone wrong, or would, instead of a case's own.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <vector>

#include "base/error.hpp"
#include "model/cell.hpp"

namespace farcall::selection {

// For each case and kind of machine, its program at each of the edges that it has parts for:
// lengths of 64-bit immediates, both sides of what branches and the TOC reach, words that are not
// 8-aligned, a stack across a 4 GiB boundary, and the program made as long as branches reach, see
// long_program.hpp. Calls are aux64 and abs64, as how a JIT reaches a
// callee is its own business; result and calls stay as the case expects them. Cells that expect a
// failure are left out, as are places where parts would lie on each other.
//
// `move` makes cell `index` of `cells` at another placement; nothing where it would not be the same
// case: what it says of its places does not hold there.
//
// A cell is named after its own, with the edge: `far-2p@edge-callees-5-words`.
// Programs of 32 MiB take their time: `large` says how many there may be, and counts.
struct LargePrograms {
  std::size_t most = 0;
  std::size_t made = 0;
  std::size_t left_out = 0;  // as there were as many already
};

using Move = std::function<Result<std::optional<model::Cell>>(std::size_t index,
                                                              const model::Placement& to)>;
Result<std::vector<model::Cell>> at_edges(const std::vector<model::Cell>& cells, const Move& move,
                                          LargePrograms& large);

// The edges by number, and a program at one of them: what of `placement` it is about is moved.
// False: the program has no such part. Calls must be aux64 and abs64 there.
std::size_t edge_count();
bool place_at_edge(std::size_t edge, const bpf::Program& program, model::Placement& placement);

}  // namespace farcall::selection
