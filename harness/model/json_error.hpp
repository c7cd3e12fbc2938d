// What the JSON reader says of what it cannot read.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "model/json.hpp"

namespace farcall::model {

// Its words, without its own name and number in front.
std::string reason(const Json::exception& error);

}  // namespace farcall::model
