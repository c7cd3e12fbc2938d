// Constants in registers.
#pragma once

#include <cstdint>

#include "jit/emitter.hpp"

namespace farcall::jit {

// Loads `value` into `to` in as few words as li, lis, ori, oris and one shift or mask can do it:
// one to five. How many depends on the value.
void load_immediate(Emitter& out, ppc64::Gpr to, std::uint64_t value);

// The same for any value in exactly kFixedImmediateWords words.
inline constexpr std::uint32_t kFixedImmediateWords = 5;
void load_immediate_fixed(Emitter& out, ppc64::Gpr to, std::uint64_t value);

}  // namespace farcall::jit
