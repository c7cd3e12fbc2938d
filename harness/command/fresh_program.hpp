// Programs that no guest has seen, as many as wanted, for measurements.
#pragma once

#include <cstddef>
#include <string>

#include "model/document.hpp"

namespace farcall::command {

// The fewest instructions that a fresh program has.
inline constexpr std::size_t kFreshInstructions = 11;

// The text of a case of two functions that no other number makes: its constants and both of its
// places differ. Numbers run over all of vmalloc: callers in its lower half, callees in its upper.
// The callee has arithmetic in it that comes to nothing, until there are `instructions`, or one less.
std::string fresh_case(std::size_t number, std::size_t instructions = kFreshInstructions);

// Its only cell.
model::Document fresh_document(std::size_t number, std::size_t instructions = kFreshInstructions);

}  // namespace farcall::command
