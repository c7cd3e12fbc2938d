// Which combinations of axis values exist, and which of them this version can run.
#pragma once

#include <string>

#include "model/axes.hpp"

namespace farcall::cases {

// Whether there is hardware and software that combines these values. What is not possible is never
// a cell, whatever the matrix says.
bool is_possible(const model::AxisValues& values);

// Whether this version runs cells with this value of the axis, an index into value_names().
bool is_supported(model::Axis axis, std::size_t value);

// The values of the axis that this version runs, for messages: `imm32, aux64`.
std::string supported_values(model::Axis axis);

}  // namespace farcall::cases
