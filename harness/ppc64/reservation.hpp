// Code that reserves memory and stores to it on condition that nobody else did (lwarx, stwcx.).
// Power ISA 3.1, Book II, section 4.6.2.
//
// Whoever takes an interrupt in between ends the reservation, so whoever traces such code must know
// of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace farcall::ppc64 {

// lbarx, lharx, lwarx, ldarx, lqarx.
bool reserves(std::uint32_t word);

// stbcx., sthcx., stwcx., stdcx., stqcx.
bool stores_conditionally(std::uint32_t word);

// Indices of words of the code.
struct GuardedStore {
  std::size_t store = 0;
  std::size_t reservation = 0;

  friend bool operator==(const GuardedStore&, const GuardedStore&) = default;
};

// Each stwcx. and stdcx. that comes directly after a branch, as in a compare-and-exchange, with the
// lwarx or ldarx before it that reserves the same address: it has the same width and registers, and
// nothing in between changes these, nor is another of their kind. Code with an instruction in
// between that farcall does not know is left out. In the order of `words`.
std::vector<GuardedStore> guarded_stores(std::span<const std::uint32_t> words);

}  // namespace farcall::ppc64
