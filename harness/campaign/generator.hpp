// Programs for campaigns. They are valid, always come to an end, and their result does not depend
// on registers or memory that nobody has written.
//
// Every instruction of the table may occur, with operands that are likely to be edges; calls of
// every kind: chains and recursion of local functions, pointers, callbacks, helpers, kfuncs, stubs
// that log their arguments or fill memory, tail calls, maps, jumps through tables. Functions call
// only those that were made before them, jumps lead forward, loops count down. The result depends
// on all registers in use.
//
// The generator sets up only what a function uses, and asks before each function and each piece
// whether there is one more: if choices are removed from the stream, as Hypothesis does, the
// program gets smaller and stays of the same kind.
#pragma once

#include <cstddef>

#include "campaign/choices.hpp"
#include "campaign/sketch.hpp"

namespace farcall::campaign {

struct GeneratorOptions {
  std::size_t most_functions = 6;
  std::size_t most_pieces = 32;   // of a function: instructions, jumps, calls
  std::size_t memory_bytes = 64;  // that r1 points at; 0: none
  bool has_externals = true;      // helpers, kfuncs, maps, tail calls; needs 64 bytes of memory
  bool is_beyond_rfc = true;      // what RFC 9669 does not have, in one program of eight
};

// Call scheme and reach are chosen; all other axes are those of `axes`.
Sketch generate(Choices& choices, const model::AxisValues& axes,
                const GeneratorOptions& options = {});

// A program without places whose only calls are local ones.
SketchProgram generate_program(Choices& choices, const GeneratorOptions& options);

}  // namespace farcall::campaign
