// Where the code of a call lies before anything is compiled: what case/ cannot know and `site()` in
// its addresses asks for.
#pragma once

#include "base/address.hpp"
#include "base/error.hpp"
#include "bpf/program.hpp"
#include "model/axes.hpp"

namespace farcall::run {

// A cases::SiteAddress by our own linker and JIT: call.out-of-range, link.branch-out-of-range for a
// program that the scheme cannot express wherever it lies, and what jit::call_address() fails with.
Result<GuestAddress> site_address(const bpf::Program& program, const model::AxisValues& axes,
                                  bpf::CallSite site, GuestAddress function);

}  // namespace farcall::run
