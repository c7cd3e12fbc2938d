// Words of ppc64 code that tests of images are made of.
#pragma once

#include <cstdint>

#include "base/address.hpp"

namespace farcall::check::tests {

inline constexpr GuestAddress kMain = {0xc000'0000'0001'0000};

inline constexpr std::uint32_t kNop = 0x60000000;
inline constexpr std::uint32_t kBlr = 0x4e800020;

// `b`, so many words on.
constexpr std::uint32_t branch(std::int32_t words) {
  return 0x48000000U | (static_cast<std::uint32_t>(words * 4) & 0x03fffffcU);
}

}  // namespace farcall::check::tests
