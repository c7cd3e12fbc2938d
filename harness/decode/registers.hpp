// What is known of the registers at one point of the code.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace farcall::decode {

// 0 … 31 are the general registers.
using RegisterNumber = std::size_t;
inline constexpr RegisterNumber kLinkRegister = 32;
inline constexpr RegisterNumber kCountRegister = 33;
inline constexpr std::size_t kTrackedRegisters = 34;

class KnownRegisters {
 public:
  std::optional<std::uint64_t> get(RegisterNumber number) const {
    if ((known_ >> number & 1) == 0) {
      return std::nullopt;
    }
    return values_[number];
  }
  void set(RegisterNumber number, std::optional<std::uint64_t> value) {
    const std::uint64_t bit = std::uint64_t{1} << number;
    known_ = value ? known_ | bit : known_ & ~bit;
    values_[number] = value.value_or(0);
  }
  void forget(RegisterNumber number) { set(number, std::nullopt); }
  void forget_all() { known_ = 0; }
  // Bit n of `kept` stands for general register n; LR and CTR are forgotten.
  void forget_all_but(std::uint32_t kept) { known_ &= kept; }

 private:
  std::array<std::uint64_t, kTrackedRegisters> values_ = {};
  std::uint64_t known_ = 0;
};

}  // namespace farcall::decode
