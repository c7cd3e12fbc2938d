#include "base/address.hpp"

#include <gtest/gtest.h>

#include <cstdint>

namespace farcall::address_test {
namespace {

TEST(Address, IsWrittenAsSixteenDigits) {
  EXPECT_EQ(to_string(GuestAddress{0xc00800000012a468}), "c00800000012a468");
  EXPECT_EQ(to_string(GuestAddress{0}), "0000000000000000");
}

TEST(Address, DistancesWrap) {
  constexpr GuestAddress kHigh{0xfffffffffffffff0};
  constexpr GuestAddress kLow{0x10};
  EXPECT_EQ(bytes(kLow - kHigh), 0x20);
  EXPECT_EQ(bytes(kHigh - kLow), -0x20);
  EXPECT_EQ(kHigh + (kLow - kHigh), kLow);
  EXPECT_EQ(kHigh + std::uint64_t{0x20}, kLow);
  EXPECT_LT(kLow, kHigh);
}

TEST(Address, DistancesAreWrittenInTheLargestUnit) {
  const auto text = [](std::int64_t distance) {
    return to_string(static_cast<Displacement>(distance));
  };
  EXPECT_EQ(text(0), "+0 B");
  EXPECT_EQ(text(68), "+68 B");
  EXPECT_EQ(text(-1023), "-1023 B");
  EXPECT_EQ(text(1024), "+1.0 KiB");
  EXPECT_EQ(text(1536), "+1.5 KiB");
  EXPECT_EQ(text(-(std::int64_t{32} << 20)), "-32.0 MiB");
  EXPECT_EQ(text(std::int64_t{1} << 51), "+2.0 PiB");
  EXPECT_EQ(text(INT64_MIN), "-8.0 EiB");
}

}  // namespace
}  // namespace farcall::address_test
