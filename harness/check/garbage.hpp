// What of a job nobody has written, piece by piece: which of it decides how the job ends.
//
// Two jobs that differ in nothing else (two seeds of one document) are mixed: the first pieces of
// one, the rest of the other. Where they end differently, there is a piece with which the end
// changes, and halving finds it.
#pragma once

#include <cstddef>
#include <string>

#include "model/job.hpp"

namespace farcall::check {

// How many pieces there are: registers, bytes of regions that are not given, and last all that is
// in no region.
std::size_t garbage_pieces(const model::Job& job);

// `job` with the first `count` pieces of `other`.
model::Job with_garbage(const model::Job& job, const model::Job& other, std::size_t count);

// `r14`, or `the byte of the stack at c00000000200ff70, r1 - 16`, r1 at entry.
std::string garbage_name(const model::Job& job, std::size_t piece);

}  // namespace farcall::check
