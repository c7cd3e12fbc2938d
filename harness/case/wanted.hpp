// Which cells are wanted, by what their names say and by their axes.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "model/axes.hpp"

namespace farcall::cases {

// A condition of --where, read: the values of `axis` that are wanted.
struct AxisCondition {
  model::Axis axis{};
  std::vector<std::size_t> values;
};

// Of texts as `cpu=power9,power10`. usage.bad-argument.
Result<std::vector<AxisCondition>> read_conditions(std::span<const std::string> texts);
bool all_hold(std::span<const AxisCondition> conditions, const model::AxisValues& axes);

// Whether the shell pattern `filter` is for that name; an empty one is for all.
bool matches(const std::string& filter, const std::string& name);

// Whether a cell of the case `name` can be called as the filter says: other files need not be read.
bool may_match(std::string_view filter, std::string_view name);

}  // namespace farcall::cases
