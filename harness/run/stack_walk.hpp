// What a stock kernel's stack walk shows of its JITed functions: exactly where the calls under way
// return to.
//
// A walk needs a helper, so it is a copy of the program that walks: each function that calls none
// walks the stack before it returns, into a region of memory that the copy has. The helper wants the
// context, with which the kernel enters the first function: calls hand it on as r5, and each
// function keeps it below its own part of the stack.
#pragma once

#include <string>
#include <vector>

#include "base/error.hpp"
#include "kernel/exchange.hpp"
#include "kernel/guest.hpp"
#include "model/verdict.hpp"
#include "run/linux_cells.hpp"

namespace farcall::run {

// The copy, in words, as reports name it.
inline constexpr const char* kWalkingCopy =
    "a copy of the program that walks the stack where functions return that call none";

struct WalkingCopy {
  kernel::Question question;
  std::vector<std::string> functions;  // names of them
};

// The copy of a cell's program. jit.declined, why there is none: it calls nothing, a function takes
// an r5 of its own, or a jump would be too long.
Result<WalkingCopy> walking_copy(const LinuxCell& linux_cell);

// What is wrong in the answer of a kernel that ran it, whose r2 is `toc`: stack.mismatch,
// jit.crashed. Nothing, too, where the kernel did not take the copy, or no such function returned.
std::vector<model::Finding> walk_findings(const WalkingCopy& copy, const kernel::Answered& answered,
                                          GuestAddress toc);

// Whether the answer tells of a walk.
bool has_walked(const WalkingCopy& copy, const kernel::Answered& answered);

}  // namespace farcall::run
