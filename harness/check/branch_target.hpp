// Where a branch without link leads by what is in its own word.
#pragma once

#include <cstdint>
#include <optional>

#include "model/code_image.hpp"
#include "ppc64/instruction.hpp"

namespace farcall::check {

// The target of the word `at` of a function, counted in words from the function's first: of a
// direct branch that does not come back. Nothing for all other words.
std::optional<std::int64_t> branch_target(const model::CodeFunction& code, std::size_t at);
// The same for whoever has the word's row of the instruction table; null: it has none.
std::optional<std::int64_t> branch_target(const model::CodeFunction& code, std::size_t at,
                                          const ppc64::Instruction* row);

}  // namespace farcall::check
