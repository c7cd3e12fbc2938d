// What somebody who mistyped a word may have meant.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace farcall::command {

// The one of `known` that takes the fewest letters changed, left out, added or swapped with the
// next to become `word`; nothing if none is near.
std::optional<std::string> nearest(std::string_view word, std::span<const std::string> known);

}  // namespace farcall::command
