#include "model/verdict.hpp"

#include <array>

namespace farcall::model {

std::string_view name(Outcome outcome) {
  using namespace std::string_view_literals;
  static constexpr std::array kNames = {"pass"sv, "fail"sv, "skip"sv, "error"sv};
  return kNames[static_cast<std::size_t>(outcome)];
}

}  // namespace farcall::model
