// What each error code means, for people: `farcall explain CODE`, and the table in cases/README.md.
#pragma once

#include <string_view>

#include "base/error.hpp"

namespace farcall {

// One line each.
struct Explanation {
  std::string_view meaning;
  std::string_view example;  // what brings it about
  std::string_view remedy;   // what to do
};

const Explanation& explanation(ErrorCode code);

// The number of codes.
inline constexpr std::size_t kErrorCodeCount = 0
// NOLINTNEXTLINE(bugprone-macro-parentheses): a term of the sum
#define FARCALL_ERROR_CODE_ONE(name, text, blame) +1
    FARCALL_ERROR_CODES(FARCALL_ERROR_CODE_ONE)
#undef FARCALL_ERROR_CODE_ONE
    ;

}  // namespace farcall
