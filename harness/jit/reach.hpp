// Reaches: the ways for emitted code to get to an address, in one table with their limits.
//
// Every reach ends in the branch-and-link, so the site of a call is its last word. How many words
// it takes depends on nothing but the reach: a program has the same size wherever its functions
// lie.
//
// One row each, in the order of model::Reach; the code of each is in jit/reach_NAME.cpp.
#pragma once

#include <array>
#include <cstdint>

#include "base/address.hpp"
#include "jit/emitter.hpp"
#include "model/axes.hpp"

namespace farcall::jit {

struct ReachInfo {
  model::Reach reach{};
  std::uint32_t words = 0;
  std::uint64_t lowest = 0;  // limits of the callee's address
  std::uint64_t highest = 0;
  void (*emit_call)(Emitter& out, GuestAddress callee) = nullptr;
};

// reach_abs64.cpp: the whole address as a constant, to CTR. Gets anywhere.
inline constexpr std::uint32_t kAbs64Words = 7;
void emit_call_abs64(Emitter& out, GuestAddress callee);

inline constexpr std::array kReaches = {
    ReachInfo{model::Reach::abs64, kAbs64Words, 0, ~std::uint64_t{0}, emit_call_abs64},
};

// Null for a reach that this JIT does not have.
const ReachInfo* find_reach(model::Reach reach);

}  // namespace farcall::jit
