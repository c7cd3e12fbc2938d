#include <nlohmann/json.hpp>

#include "model/json.hpp"

namespace farcall::model {
namespace {

bool is_shallow(int depth, Json::parse_event_t /*event*/, const Json& /*parsed*/) {
  constexpr int kDeepest = 64;
  return depth <= kDeepest;
}

}  // namespace

std::string json_text(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

Json parse_json(std::string_view text) {
  return Json::parse(text, is_shallow);
}

Json json_or_discarded(std::string_view text) {
  return Json::parse(text, is_shallow, false);
}

}  // namespace farcall::model
