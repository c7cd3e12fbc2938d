// Where a linked call goes, as a JIT reads it: from the scheme's encoding alone.
#pragma once

#include <cstddef>

#include "base/address.hpp"
#include "model/linked_program.hpp"

namespace farcall::jit {

// Of `linked.calls[call]`; `linked` is consistent. Never looks at where the callee was placed
// (LinkedCall::target): a linker that wrote something else must not go unseen.
GuestAddress call_target(const model::LinkedProgram& linked, std::size_t call);

}  // namespace farcall::jit
