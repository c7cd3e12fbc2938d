#include "base/address.hpp"

#include <fmt/format.h>

#include <array>
#include <string_view>

namespace farcall {

std::string to_string(GuestAddress address) {
  return fmt::format("{:016x}", address.value);
}

std::string to_string(Displacement displacement) {
  static constexpr std::array<std::string_view, 6> kUnits = {"KiB", "MiB", "GiB",
                                                             "TiB", "PiB", "EiB"};
  const bool negative = bytes(displacement) < 0;
  const auto raw = static_cast<std::uint64_t>(bytes(displacement));
  const std::uint64_t magnitude = negative ? 0 - raw : raw;
  if (magnitude < 1024) {
    return fmt::format("{}{} B", negative ? '-' : '+', magnitude);
  }
  auto scaled = static_cast<double>(magnitude) / 1024;
  std::size_t unit = 0;
  while (scaled >= 1024) {
    scaled /= 1024;
    ++unit;
  }
  return fmt::format("{}{:.1f} {}", negative ? '-' : '+', scaled, kUnits[unit]);
}

}  // namespace farcall
