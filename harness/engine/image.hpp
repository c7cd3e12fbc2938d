// What an image needs before it can run, and a JIT need not know: the functions that a program
// calls and does not have, whom its calls call, a place for the thread area.
#pragma once

#include <cstdint>

#include "base/error.hpp"
#include "model/cell.hpp"
#include "model/code_image.hpp"

namespace farcall::engine {

// Where code of an image enters a helper: at its local entry, for callers that have the TOC pointer
// in r2, or at its address.
enum class HelperEntry : std::uint8_t { local, global };

// `image` has the functions of the cell's program, and calls if they are known. Its externals'
// functions and calls are added, and it is placed.
// jit.declined: this JIT's code runs into something else at the cell's addresses.
Result<void> complete(const model::Cell& cell, model::CodeImage& image,
                      HelperEntry helper_entry = HelperEntry::local);

}  // namespace farcall::engine
