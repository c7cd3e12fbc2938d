// Selectors: which cells of a case a section is about. `call=imm32 endian=le,be place=far`: all
// conditions must hold, each by one of its values.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "case/text.hpp"
#include "model/axes.hpp"

namespace farcall::cases {

// A set of an axis' values: bit v stands for value_names(axis)[v].
using ValueSet = std::uint8_t;

struct Selector {
  std::array<ValueSet, model::kAxisCount> axes = {};  // an empty set: any value
  std::vector<std::uint32_t> placements;              // sorted numbers of placements; empty: any

  friend bool operator==(const Selector&, const Selector&) = default;
};

// What a case's selectors may name.
struct SelectorScope {
  std::array<ValueSet, model::kAxisCount> axes = {};  // values that the matrix has
  std::span<const std::string> placements;
};

// `placement` is none in a case without named placements.
bool selects(const Selector& selector, const model::AxisValues& values,
             std::optional<std::uint32_t> placement);

// `AXIS` or `AXIS=...`: the axis, or none for `place`. case.unknown-axis.
Result<std::optional<model::Axis>> parse_axis(Word word);

// The number of a value of the axis. case.unknown-value, case.unsupported.
Result<std::size_t> parse_axis_value(model::Axis axis, Word word);

// A selector up to the end of the line; nothing at all selects every cell. case.syntax,
// case.unknown-axis, case.unknown-value, case.unsupported, case.unknown-name and, for a value that
// no cell of the case has, case.selects-nothing.
Result<Selector> parse_selector(Cursor& cursor, const SelectorScope& scope);

}  // namespace farcall::cases
