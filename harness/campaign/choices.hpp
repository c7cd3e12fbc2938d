// Choices: where a generator's decisions come from.
//
// A seed gives a stream without an end, the same on every machine. Bytes that somebody else chose
// (Hypothesis, libFuzzer) give as many as they have, and zeros after them. Each generator makes its
// simplest choice of 0, so that fewer and smaller bytes give a simpler result.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace farcall::campaign {

class Choices {
 public:
  // Stream number `number` of the seed.
  Choices(std::uint64_t seed, std::uint64_t number);
  explicit Choices(std::span<const std::byte> bytes);

  // 0 … limit - 1; limit is not 0.
  std::uint64_t below(std::uint64_t limit);
  std::uint64_t any();  // 64 bits
  bool one_in(std::uint64_t times) { return below(times) == times - 1; }
  template <typename List>
  auto of(const List& list) {
    return list[static_cast<std::size_t>(below(std::size(list)))];
  }

 private:
  std::uint64_t next(unsigned bytes);

  std::uint64_t state_ = 0;
  bool endless_ = true;
  std::vector<std::byte> bytes_;
  std::size_t at_ = 0;
};

}  // namespace farcall::campaign
