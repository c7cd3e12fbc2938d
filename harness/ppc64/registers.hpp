// The registers of a ppc64 CPU that a program can see, as one value. Power ISA 3.1, Books I and
// III.
#pragma once

#include <array>
#include <cstdint>

namespace farcall::ppc64 {

struct Registers {
  std::array<std::uint64_t, 32> gpr = {};
  std::uint64_t lr = 0;
  std::uint64_t ctr = 0;
  std::uint64_t xer = 0;
  std::uint32_t cr = 0;                                  // CR0 in the most significant four bits
  std::array<std::uint64_t, 32> fpr = {};                // raw bits
  std::array<std::array<std::uint64_t, 2>, 32> vr = {};  // {most, least} significant doubleword

  friend bool operator==(const Registers&, const Registers&) = default;
};

}  // namespace farcall::ppc64
