#include "campaign/choices.hpp"

#include <bit>

namespace farcall::campaign {
namespace {

// SplitMix64, by Steele, Lea and Flood (2014): a mix of a counter.
constexpr std::uint64_t kStep = 0x9e37'79b9'7f4a'7c15;

std::uint64_t mixed(std::uint64_t value) {
  value = (value ^ (value >> 30)) * 0xbf58'476d'1ce4'e5b9;
  value = (value ^ (value >> 27)) * 0x94d0'49bb'1331'11eb;
  return value ^ (value >> 31);
}

}  // namespace

Choices::Choices(std::uint64_t seed, std::uint64_t number, std::uint64_t mutant)
    : state_(mixed(seed + kStep) ^ mixed(mixed(number + kStep) + kStep)),
      mutation_(mutant == 0 ? 0 : mixed(state_ ^ mixed(mutant))) {}

Choices::Choices(std::span<const std::byte> bytes)
    : endless_(false), bytes_(bytes.begin(), bytes.end()) {}

std::uint64_t Choices::next(unsigned bytes) {
  if (endless_) {
    state_ += kStep;
    if (mutation_ != 0) {
      mutation_ += kStep;
      if (const std::uint64_t other = mixed(mutation_); other % 16 == 0) {
        return mixed(other);
      }
    }
    return mixed(state_);
  }
  std::uint64_t value = 0;
  for (unsigned i = 0; i < bytes && at_ < bytes_.size(); ++i) {
    value |= std::to_integer<std::uint64_t>(bytes_[at_++]) << (8 * i);
  }
  return value;
}

std::uint64_t Choices::below(std::uint64_t limit) {
  const auto bits = static_cast<unsigned>(std::bit_width(limit - 1));
  return limit == 1 ? 0 : chosen_ ? chosen_(limit - 1) : next((bits + 7) / 8) % limit;
}

std::uint64_t Choices::any() {
  return chosen_ ? chosen_(UINT64_MAX) : next(8);
}

}  // namespace farcall::campaign
