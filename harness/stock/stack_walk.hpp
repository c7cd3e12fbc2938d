// What a stock kernel's stack walk shows of its JITed functions: exactly where the calls under way
// return to.
//
// A walk needs a helper, so it is a copy of the program that is walked: each function calls
// bpf_trace_printk before it returns, with nothing to print. That needs no context, which functions
// and callbacks do not have. Another program observes these calls, and has the kernel walk the
// stack from there, into a region of memory that the copy has.
//
// The interpreter says which functions are under way at each of these returns. The walk has to show,
// from the inside, one address for each, where a call returns:
//   - that of bpf_trace_printk;
//   - of a function that another called, with no frame between the two: the frame of a function that
//     has made a tail call is gone, and that of the program it led to is in its place;
//   - of a helper that called a function back, with the kernel's frames between.
// Which of the function's calls it is, is seen by their order, unless the verifier has removed or
// added some.
#pragma once

#include <bit>
#include <cstdint>
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

struct FrameUnderWay {
  std::uint32_t function = 0;  // that runs
  std::uint32_t called = 0;    // that was called; a tail call has put the other one in its place
  bool by_helper = false;      // it was called back
  std::uint32_t call = 0;      // which of its calls in the copy it is at, in program order

  friend bool operator==(const FrameUnderWay&, const FrameUnderWay&) = default;
};
using Frames = std::vector<FrameUnderWay>;  // the innermost first

// At the first returns, as many as walks are looked at. jit.declined: the interpreter fails.
Result<std::vector<Frames>> expected_walks(const LinuxCell& linux_cell);

struct WalkingCopy {
  kernel::Question question;
  std::shared_ptr<const bpf::Program> program;  // without what the copy has more
  std::vector<Frames> expected;
};

// The copy of a cell's program, for a kernel of that byte order, of which these walks are expected.
// jit.declined, why there is none: no function that is called returns, or a jump would be too long.
Result<WalkingCopy> walking_copy(const LinuxCell& linux_cell, std::vector<Frames> expected,
                                 std::endian order);

// What came of it: what is wrong in the walks (stack.mismatch, jit.crashed), or why none was seen.
struct StackWalk {
  std::vector<model::Finding> findings;
  std::string unseen;  // empty: there was a walk, or the kernel's end in place of one
};

// The walks in the answer of a kernel.
StackWalk stack_walk(const WalkingCopy& copy, const kernel::Answered& answered,
                     const kernel::KernelFacts& facts);

}  // namespace farcall::stock
