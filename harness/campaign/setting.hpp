// Where a generated program runs: on what kind of machine, and where in the address space it lies.
#pragma once

#include <cstdint>

#include "campaign/choices.hpp"
#include "campaign/sketch.hpp"
#include "model/axes.hpp"

namespace farcall::campaign {

// The kfunc that the generator makes as a stub; another that it has is native.
inline constexpr std::int32_t kStubKfunc = 1002;

// What kind of machine the programs of one block are for.
model::AxisValues machine_axes(Choices& choices);

// Chooses call scheme, reach and places of a sketch that has all else: where they are by default,
// near, far apart, or at an edge of what a sequence of code reaches.
void choose_places(Choices& choices, Sketch& sketch);

}  // namespace farcall::campaign
