// Distances from __bpf_call_base to JITed functions, as rows and as a picture for browsers.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/address.hpp"

namespace farcall::command {

// One boot of a kernel, with so much beside its programs.
struct DistanceRow {
  std::string architecture;
  std::string kernel;
  std::string setting;  // of the boot: `radix`, `hash`, `kaslr`, `nokaslr`
  unsigned boot = 0;
  bool has_jit = true;  // if not, the rest is empty
  unsigned crowd_mebibytes = 0;
  bool is_full = false;  // the area had no room for more of the crowd
  GuestAddress call_base{};
  std::vector<GuestAddress> functions{};
  // The ends of the area that the JIT puts code in, the lower one first. Nothing: not known, or a
  // function lies outside.
  std::optional<std::pair<GuestAddress, GuestAddress>> area{};

  // Of the function that is farthest away. There is one at least.
  GuestAddress farthest() const;
  // Of the farthest address of the area.
  std::optional<Displacement> at_most() const;
  bool fit_32_bits() const;  // all functions
};

// An SVG document: a line for each architecture, kernel, setting and crowd, its functions as points
// and its area as a bar. The scale is logarithmic to both sides of __bpf_call_base.
std::string distance_svg(std::span<const DistanceRow> rows);

}  // namespace farcall::command
