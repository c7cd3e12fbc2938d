// Makes a case file say what its cells came to: results and counts of calls, nothing else.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "bpf/program.hpp"
#include "case/case_file.hpp"
#include "model/axes.hpp"

namespace farcall::cases {

// What interpreter and CPU agree on for one cell, and which cell it is.
struct SeenCell {
  model::AxisValues axes;
  std::optional<std::uint32_t> placement;  // index into Case::placements
  std::uint64_t result = 0;
  std::vector<bpf::PseudoCall> calls;  // all that were made
};

// `text` is what `parsed` was read from. A section or line that is for cells which came to
// different things stays as it is, and so does a result that is an address.
std::string blessed(std::string_view text, const Case& parsed, std::span<const SeenCell> seen);

// The lines of `before` and `after`, which have as many, that are not the same, as `diff -U0` shows
// them; empty if all are.
std::string line_diff(const std::string& path, std::string_view before, std::string_view after);

}  // namespace farcall::cases
