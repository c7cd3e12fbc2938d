// Guest addresses and the distances between them, as types that do not mix with other numbers.
#pragma once

#include <compare>
#include <cstdint>
#include <string>

namespace farcall {

// A signed distance in bytes. Distances wrap modulo 2^64, as the guest's own arithmetic does.
enum class Displacement : std::int64_t {};

// An effective address of the guest, in bytes.
struct GuestAddress {
  std::uint64_t value = 0;

  friend constexpr auto operator<=>(GuestAddress, GuestAddress) = default;
};

constexpr std::int64_t bytes(Displacement displacement) {
  return static_cast<std::int64_t>(displacement);
}

constexpr GuestAddress operator+(GuestAddress address, std::uint64_t offset) {
  return {address.value + offset};
}

constexpr GuestAddress operator+(GuestAddress address, Displacement displacement) {
  return {address.value + static_cast<std::uint64_t>(bytes(displacement))};
}

// `to - from`.
constexpr Displacement operator-(GuestAddress to, GuestAddress from) {
  return static_cast<Displacement>(to.value - from.value);
}

// Sixteen lower-case hex digits: `c00800000012a468`.
std::string to_string(GuestAddress address);

// A distance as people compare them: sign and the largest binary unit that it reaches, one digit
// after the point: `+2.0 PiB`, `-32.0 MiB`, `+68 B`.
std::string to_string(Displacement displacement);

}  // namespace farcall
