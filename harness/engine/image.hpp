// What an image needs before it can run, and a JIT need not know: the functions that a program
// calls and does not have, whom its calls call, a place for the thread area.
#pragma once

#include "base/error.hpp"
#include "model/cell.hpp"
#include "model/code_image.hpp"

namespace farcall::engine {

// `image` has the functions of the cell's program, and calls if they are known. Its externals'
// functions and calls are added, and it is placed.
// jit.declined: this JIT's code runs into something else at the cell's addresses.
Result<void> complete(const model::Cell& cell, model::CodeImage& image);

}  // namespace farcall::engine
