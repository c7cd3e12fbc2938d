// Programs for campaigns: valid, always at an end, with a result that depends on nothing that
// nobody wrote.
//
// Every instruction of the table may occur, with operands that are likely to be edges; calls of
// every kind: chains and recursion of local functions, pointers, callbacks, helpers, kfuncs, stubs
// that log their arguments, tail calls, maps. Functions call only later ones, jumps lead forward,
// loops count down. The result depends on all registers.
#pragma once

#include <cstddef>

#include "campaign/choices.hpp"
#include "campaign/sketch.hpp"

namespace farcall::campaign {

struct GeneratorOptions {
  std::size_t most_functions = 6;
  std::size_t most_pieces = 24;  // of a function: instructions, jumps, calls
};

// What kind of machine the programs of one block are for.
model::AxisValues machine_axes(Choices& choices);

// `axes` says which machine; call scheme and reach are chosen.
Sketch generate(Choices& choices, const model::AxisValues& axes,
                const GeneratorOptions& options = {});

}  // namespace farcall::campaign
