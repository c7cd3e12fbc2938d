// Between the wire's byte order and the guest's, in place. Assembly reads and writes registers and
// branches and steps in the guest's own order; what it is given and what it has written is turned
// around here. Nothing happens in a little-endian guest.
#pragma once

#include <bit>
#include <concepts>
#include <cstdint>

#include "base/byte_order.hpp"
#include "wire/mailbox.hpp"

namespace farcall::bare {

// From one order to the other; the same function goes either way.
template <std::unsigned_integral T>
void turn(Ordered<T, std::endian::little>& word) {
  if constexpr (std::endian::native == std::endian::big) {
    word = byte_swapped(static_cast<T>(word));
  }
}

inline void turn(wire::Registers& registers) {
  for (unsigned i = 0; i < 32; ++i) {
    turn(registers.gpr[i]);
    turn(registers.fpr[i]);
    turn(registers.vr[i][0]);
    turn(registers.vr[i][1]);
  }
  turn(registers.lr);
  turn(registers.ctr);
  turn(registers.xer);
  turn(registers.cr);
}

inline void turn(wire::TakenBranch& branch) {
  turn(branch.from);
  turn(branch.to);
  turn(branch.link);
}

inline void turn(wire::Step& step) {
  turn(step.address);
  turn(step.from);
  turn(step.lr);
  turn(step.ctr);
  turn(step.xer);
  turn(step.cr);
  for (unsigned i = 0; i < 32; ++i) {
    turn(step.gpr[i]);
  }
}

inline void turn(wire::GuardedStore& store) {
  turn(store.address);
  turn(store.reservation);
  turn(store.word);
}

}  // namespace farcall::bare
