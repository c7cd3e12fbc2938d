#include "jit/reach.hpp"

#include <algorithm>

namespace farcall::jit {

const ReachInfo* find_reach(model::Reach reach) {
  const auto* const found = std::ranges::find(kReaches, reach, &ReachInfo::reach);
  return found == kReaches.end() ? nullptr : found;
}

}  // namespace farcall::jit
