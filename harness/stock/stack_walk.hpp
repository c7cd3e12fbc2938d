// What a stock kernel's stack walk shows of its JITed functions: exactly where the calls under way
// return to.
//
// A walk needs a helper, so it is a copy of the program that is walked: each function calls
// bpf_trace_printk before it returns, with nothing to print. That needs no context, which functions
// and callbacks do not have. Another program observes these calls, and has the kernel walk the
// stack from there, into a region of memory that the copy has.
//
// Of the program's own frames such a walk shows, from the inside:
//   - the call of bpf_trace_printk;
//   - of a function that another calls, that call, and nothing between the two;
//   - of one that a helper calls back, frames of the kernel, and a call of a helper in a function
//     that loads its address;
//   - of the first function of a program, nothing more, if the kernel entered it. If a tail call did,
//     the frame of the function that made it is gone: the call of that function follows, or nothing,
//     if it was the first that the kernel entered.
#pragma once

#include <bit>
#include <memory>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "bpf/program.hpp"
#include "kernel/exchange.hpp"
#include "kernel/guest.hpp"
#include "model/verdict.hpp"
#include "stock/linux_cells.hpp"

namespace farcall::stock {

// The copy, in words, as reports name it.
inline constexpr const char* kWalkingCopy =
    "a copy of the program, in which functions have the stack walked before they return";

struct WalkingCopy {
  kernel::Question question;
  std::shared_ptr<const bpf::Program> program;  // without what the copy has more
};

// The copy of a cell's program, for a kernel of that byte order. jit.declined, why there is none: it
// has one function only, or a jump would be too long.
Result<WalkingCopy> walking_copy(const LinuxCell& linux_cell, std::endian order);

// What came of it: what is wrong in the walks (stack.mismatch, jit.crashed), or why none was seen.
struct StackWalk {
  std::vector<model::Finding> findings;
  std::string unseen;  // empty: there was a walk, or the kernel's end in place of one
};

// The walks in the answer of a kernel.
StackWalk stack_walk(const WalkingCopy& copy, const kernel::Answered& answered,
                     const kernel::KernelFacts& facts);

}  // namespace farcall::stock
