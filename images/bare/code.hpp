// What the guest does for code: jobs' lies where the host has put it, but a gate is the guest's own.
#pragma once

#include <cstdint>

namespace farcall::bare {

// Has QEMU forget all that it has translated, as it must before a page holds other code that the guest
// has not written itself.
void forget_code();

// The physical page with a system call at offset `in_page` and trap words elsewhere: a job's gate.
// Most jobs have the same, so it stays as it is until one differs.
std::uint64_t gate_page(std::uint64_t in_page);

}  // namespace farcall::bare
