// Where a direct branch that does not set LR leads: its target is in its own word.
#pragma once

#include <cstdint>
#include <optional>

#include "model/code_image.hpp"
#include "ppc64/instruction.hpp"

namespace farcall::check {

// The target of the branch at word `at` of a function, in words from the function's first. Nothing
// if that word is not a direct branch, or sets LR.
std::optional<std::int64_t> branch_target(const model::CodeFunction& code, std::size_t at);
// The same for callers that have the word's row of the instruction table; null: there is no row.
std::optional<std::int64_t> branch_target(const model::CodeFunction& code, std::size_t at,
                                          const ppc64::Instruction* row);

}  // namespace farcall::check
