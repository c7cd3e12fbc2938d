// Edits: what could be simpler about a sketch, one change each. The reducer tries them; which of
// them leave the finding as it is, is not known here.
//
// An edit names its place by number or by what stands there, and does nothing where that has gone,
// so that edits of one list can be made one after the other. It leaves a line that it takes away
// empty: without_empty_lines() comes last.
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

#include "campaign/sketch.hpp"

namespace farcall::campaign {

using Edit = std::function<void(Sketch&)>;

// All axes as they are by default, then each by itself; none if they are so already.
std::vector<Edit> simpler_axes(const Sketch& sketch);

// One function alone, instead of what calls it.
std::vector<Edit> single_functions(const Sketch& sketch);

// Blocks of `size` lines less, but for labels; from the end, since what uses a value goes before
// what makes it.
std::vector<Edit> fewer_lines(const Sketch& sketch, std::size_t size);

// `mov`, `ja` instead of something else; a smaller number.
std::vector<Edit> simpler_lines(const Sketch& sketch);

// A region, array, external, place, register or memory less; externals that do less.
std::vector<Edit> fewer_declarations(const Sketch& sketch);

// Addresses of `-- place` with fewer digits.
std::vector<Edit> rounder_places(const Sketch& sketch);

// Bytes that a program finds, the memory that r1 points to or a region: how many there are, and
// edits of number `i`.
std::size_t count_of_bytes(const Sketch& sketch);
Edit half_the_bytes(std::size_t i);
Edit one_byte_less(std::size_t i);
Edit zeroed_bytes(std::size_t i);

Sketch without_empty_lines(Sketch sketch);

}  // namespace farcall::campaign
