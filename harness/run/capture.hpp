// A stock kernel's code of a cell's program, as a document that runs in the bare guest.
//
// The kernel loads the program as the case has it, JITs it, runs it once and says what it made. The
// bare guest then runs the same bytes at the same addresses, with every branch watched.
#pragma once

#include <string>

#include "base/address.hpp"
#include "base/error.hpp"
#include "kernel/exchange.hpp"
#include "model/document.hpp"

namespace farcall::run {

// What to ask the kernel, of a cell whose program can be asked about: little-endian, ELFv2, with no
// calls but those of its own functions, no maps, no function pointers. Of its memory, it has what r1
// points to. jit.declined names what it has besides.
Result<kernel::Question> kernel_question(const model::Cell& cell);

// The document of what the kernel said: the cell, its functions where the kernel has put them, and
// the image. `kernel` names it, as `6.1.176-1`; `toc` is its r2.
// jit.declined: the verifier rejected the program, or has changed its calls; jit.refused: it is not
// JITed; result.mismatch, memory.mismatch: the kernel's run came to something else than the
// interpreter's.
Result<model::Document> captured(const model::Cell& cell, const kernel::Answer& answer,
                                 const std::string& kernel, GuestAddress toc);

}  // namespace farcall::run
