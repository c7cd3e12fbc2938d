#include "jit/reach.hpp"

#include <algorithm>
#include <iterator>

namespace farcall::jit {

const ReachInfo* find_reach(model::Reach reach) {
  const auto* const found = std::ranges::find(kReaches, reach, &ReachInfo::reach);
  return found == std::end(kReaches) ? nullptr : found;
}

}  // namespace farcall::jit
