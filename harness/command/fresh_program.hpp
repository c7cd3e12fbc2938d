// Programs that no guest has seen, as many as wanted, for measurements.
#pragma once

#include <cstddef>
#include <string>

#include "model/document.hpp"

namespace farcall::command {

// The text of a case of two functions that no other number makes: its constants and both of its
// places differ. Numbers run over all of vmalloc: callers in its lower half, callees in its upper.
std::string fresh_case(std::size_t number);

// Its only cell.
model::Document fresh_document(std::size_t number);

}  // namespace farcall::command
