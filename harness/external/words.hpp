// What native functions are written with: instructions as they stand in assembly, in lists.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "external/external.hpp"
#include "ppc64/encoder.hpp"

namespace farcall::external {

using ppc64::encode;
using ppc64::kZero;
using ppc64::Op;
using enum ppc64::Gpr;
using enum ppc64::CrField;
using enum ppc64::Condition;

inline constexpr unsigned kTrapIfUnequal = 24;

inline void append(Words& words, const Words& more) {
  words.insert(words.end(), more.begin(), more.end());
}

constexpr std::uint32_t mr(ppc64::Gpr to, ppc64::Gpr from) {
  return encode<Op::or_>(to, from, from);
}
constexpr std::uint32_t li(ppc64::Gpr to, std::int64_t value) {
  return encode<Op::addi>(to, kZero, value);
}
inline constexpr std::uint32_t kBlr = encode<Op::bclr>(ppc64::kBranchAlways, ppc64::CrBit{0}, 0);

// A branch over a number of words, itself included, if CR0 says so or says not.
constexpr std::uint32_t branch_if(ppc64::Condition condition, std::int64_t words) {
  return encode<Op::bc>(ppc64::kBranchIfTrue, cr_bit(cr0, condition), words * 4);
}
constexpr std::uint32_t branch_if_not(ppc64::Condition condition, std::int64_t words) {
  return encode<Op::bc>(ppc64::kBranchIfFalse, cr_bit(cr0, condition), words * 4);
}

// Words with labels: longer code than one wants to count the words of.
class LabelledWords {
 public:
  using Label = std::size_t;

  Label label() {
    places_.push_back(0);
    return places_.size() - 1;
  }
  void here(Label label) { places_[label] = words_.size(); }
  void add(const Words& more) { append(words_, more); }
  void branch(Label to) { jump(to, encode<Op::b>(0)); }
  void branch_if(ppc64::Condition condition, Label to) {
    jump(to, external::branch_if(condition, 0));
  }
  void branch_if_not(ppc64::Condition condition, Label to) {
    jump(to, external::branch_if_not(condition, 0));
  }

  // With all branches to where their labels are.
  Words finish() && {
    for (const auto& [at, to] : jumps_) {
      const auto distance =
          4 * (static_cast<std::int64_t>(places_[to]) - static_cast<std::int64_t>(at));
      // The displacement's bits are in one place in both forms; these are short.
      words_[at] |= static_cast<std::uint32_t>(distance) &
                    (is_conditional(words_[at]) ? 0xfffcU : 0x3fffffcU);
    }
    return std::move(words_);
  }

 private:
  static bool is_conditional(std::uint32_t word) {
    return word >> 26 == encode<Op::bc>(0U, ppc64::CrBit{0}, 0) >> 26;
  }
  void jump(Label to, std::uint32_t word) {
    jumps_.emplace_back(words_.size(), to);
    words_.push_back(word);
  }

  Words words_;
  std::vector<std::size_t> places_;  // of each label
  std::vector<std::pair<std::size_t, Label>> jumps_;
};

// Errors of Linux, negated.
inline constexpr std::int64_t kTooBig = -7;    // E2BIG
inline constexpr std::int64_t kInvalid = -22;  // EINVAL

}  // namespace farcall::external
