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
#include "stock/linux_cells.hpp"

namespace farcall::stock {

// The copy, in words, as reports name it.
inline constexpr const char* kWalkingCopy =
    "a copy of the program, in which each function that calls no other walks the stack before it "
    "returns";

struct WalkingCopy {
  kernel::Question question;
  std::vector<std::string> functions;  // names of them
};

// The copy of a cell's program. jit.declined, why there is none: it calls nothing, a function takes
// an r5 of its own, or a jump would be too long.
Result<WalkingCopy> walking_copy(const LinuxCell& linux_cell);

// What came of it: what is wrong in the walk (stack.mismatch, jit.crashed), or why none was seen.
struct StackWalk {
  std::vector<model::Finding> findings;
  std::string unseen;  // empty: there was a walk, or the kernel's end in place of one
};

// The walk in the answer of a kernel.
StackWalk stack_walk(const WalkingCopy& copy, const kernel::Answered& answered,
                     const kernel::KernelFacts& facts);

}  // namespace farcall::stock
