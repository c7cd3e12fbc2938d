// What native functions are written with: instructions as they stand in assembly, in lists.
#pragma once

#include <cstdint>

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

// Errors of Linux, negated.
inline constexpr std::int64_t kTooBig = -7;    // E2BIG
inline constexpr std::int64_t kInvalid = -22;  // EINVAL

}  // namespace farcall::external
