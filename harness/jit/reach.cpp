#include "jit/reach.hpp"

namespace farcall::jit {

const ReachInfo& reach_info(model::Reach reach, model::Abi abi) {
  if (reach == model::Reach::abs64 && abi == model::Abi::elfv1) {
    return kDescriptorReach;
  }
  return kReaches[static_cast<std::size_t>(reach)];
}

bool reaches(const ReachInfo& reach, const CallPlace& place, GuestAddress target) {
  const std::int64_t distance = bytes(target - reach.origin(place));
  return distance >= reach.lowest && distance <= reach.highest;
}

}  // namespace farcall::jit
