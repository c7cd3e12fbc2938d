// Who speaks by a finding's code: the columns of the matrix.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "base/error.hpp"

namespace farcall::coverage {

enum class Witness : std::uint8_t {
  value,      // r0
  memory,     // the program's memory, and what is written outside of it
  stack,      // frames, and return addresses in them
  registers,  // what the ABI has a callee preserve
  arguments,  // what external functions are called with
  decoder,    // the emitted bytes
  trace,      // the branches that the CPU took
  flow,       // branches in the bytes, on whatever path
  layout,     // sizes, alignment, places
  ending,     // a fault, or no end
  unwritten,  // what depends on what nobody has written
  linked,     // the interpreter on the linked program
  refusal,    // a failure that the case expects and that does not come
  stated,     // what the case says, against the interpreter
  protocol,   // nonces, counts, what the guest says of itself and of a batch
  rules,      // values that no stage can have made
};
inline constexpr std::size_t kWitnessCount = 1 + static_cast<std::size_t>(Witness::rules);

std::string_view name(Witness witness);
Witness witness_of(ErrorCode code);

// Those of which each must be the only one to see some fault.
inline constexpr std::array kMustBeAlone = {Witness::value,     Witness::decoder,  Witness::trace,
                                            Witness::registers, Witness::memory,   Witness::stack,
                                            Witness::flow,      Witness::arguments};

}  // namespace farcall::coverage
