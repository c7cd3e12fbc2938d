// Where a branch without link leads by what is in its own word.
#pragma once

#include <cstdint>
#include <optional>

#include "model/code_image.hpp"

namespace farcall::check {

// The target of the word `at` of a function, counted in words from the function's first: of a direct
// branch that does not come back. Nothing for all other words.
std::optional<std::int64_t> branch_target(const model::CodeFunction& code, std::size_t at);

}  // namespace farcall::check
