// What the JSON reader says of what it cannot read, and does not read at all.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "model/json.hpp"

namespace farcall::model {

// Its words, without its own name and number in front.
std::string reason(const Json::exception& error);

// For Json::parse of reports: leaves out what is nested deeper than anything in a report. Walking
// over a document, as Json does to write it, is recursive: a file from elsewhere could use up the
// stack.
inline bool is_shallow(int depth, Json::parse_event_t /*event*/, const Json& /*parsed*/) {
  constexpr int kDeepest = 64;
  return depth <= kDeepest;
}

}  // namespace farcall::model
