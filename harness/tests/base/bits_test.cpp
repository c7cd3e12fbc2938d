#include "base/bits.hpp"

#include <gtest/gtest.h>

#include <cstdint>

namespace farcall::bits_test {
namespace {

TEST(Bits, FitsSigned) {
  EXPECT_TRUE(fits_signed(0x7fffffff, 32));
  EXPECT_FALSE(fits_signed(0x80000000, 32));
  EXPECT_TRUE(fits_signed(-0x80000000LL, 32));
  EXPECT_FALSE(fits_signed(-0x80000001LL, 32));
  EXPECT_TRUE(fits_signed(INT64_MIN, 64));
  EXPECT_TRUE(fits_signed(INT64_MAX, 64));
  EXPECT_FALSE(fits_signed(INT64_MAX, 63));
  EXPECT_TRUE(fits_signed(-1, 1));
  EXPECT_FALSE(fits_signed(1, 1));
}

TEST(Bits, FitsUnsigned) {
  EXPECT_TRUE(fits_unsigned(0xffff, 16));
  EXPECT_FALSE(fits_unsigned(0x10000, 16));
  EXPECT_TRUE(fits_unsigned(UINT64_MAX, 64));
}

TEST(Bits, SignExtend) {
  EXPECT_EQ(sign_extend(0x8000, 16), -32768);
  EXPECT_EQ(sign_extend(0x7fff, 16), 32767);
  EXPECT_EQ(sign_extend(0xffff0001, 16), 1);
  EXPECT_EQ(sign_extend(UINT64_MAX, 64), -1);
  EXPECT_EQ(sign_extend(1, 1), -1);
}

TEST(Bits, Fields) {
  EXPECT_EQ(bit_field(0x1122334455667788, 8, 16), 0x6677);
  EXPECT_EQ(bit_field(0x1122334455667788, 0, 64), 0x1122334455667788);
  EXPECT_EQ(bit_field(UINT64_MAX, 63, 1), 1);
}

TEST(Bits, Alignment) {
  EXPECT_EQ(align_down(0x1fff, 0x1000), 0x1000);
  EXPECT_EQ(align_up(0x1001, 0x1000), 0x2000);
  EXPECT_EQ(align_up(0x2000, 0x1000), 0x2000);
  EXPECT_EQ(align_up(0, 8), 0);
}

}  // namespace
}  // namespace farcall::bits_test
