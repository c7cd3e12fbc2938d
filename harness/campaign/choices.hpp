// Choices: where a generator's decisions come from.
//
// A seed gives an endless stream of choices, the same on every machine. Bytes from outside
// (libFuzzer) are used up one by one, and are followed by zeros. A function that is asked each time
// (Hypothesis) may return anything. Generators make their simplest decision for 0, so that fewer
// and smaller choices give a simpler result.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <utility>
#include <vector>

namespace farcall::campaign {

class Choices {
 public:
  // Stream number `number` of the seed. If `mutant` is not 0, about one choice in 16 is replaced by
  // another one.
  Choices(std::uint64_t seed, std::uint64_t number, std::uint64_t mutant = 0);
  explicit Choices(std::span<const std::byte> bytes);
  // `chosen(most)` is 0 … most.
  explicit Choices(std::function<std::uint64_t(std::uint64_t most)> chosen)
      : chosen_(std::move(chosen)) {}

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

  std::function<std::uint64_t(std::uint64_t)> chosen_;
  std::uint64_t state_ = 0;
  std::uint64_t mutation_ = 0;  // the state of what changes choices; 0: nothing does
  bool endless_ = true;
  std::vector<std::byte> bytes_;
  std::size_t at_ = 0;
};

}  // namespace farcall::campaign
