#include "jit/immediate.hpp"

#include <gtest/gtest.h>

#include "support.hpp"

namespace farcall::jit::immediate_test {
namespace {

std::vector<std::uint32_t> loaded(std::uint64_t value) {
  Emitter out;
  load_immediate(out, ppc64::Gpr::r5, value);
  return out.words();
}

TEST(Immediate, AsShortAsTheValueAllows) {
  struct Expected {
    std::uint64_t value;
    std::size_t words;
  };
  const std::vector<Expected> table = {
      {0, 1},
      {1, 1},
      {0x7fff, 1},
      {0x8000, 2},  // lis 0, ori
      {0xffff, 2},
      {0x10000, 1},  // lis
      {0x12345678, 2},
      {0x7fffffff, 2},
      {0x80000000, 2},  // li 1, sldi
      {0xffffffff, 2},  // li -1, clrldi
      {0xfffffffe, 2},
      {0x87654321, 3},  // lis, ori, clrldi
      {0x100000000, 2},
      {0xffffffffffffffff, 1},
      {0xffffffffffff8000, 1},
      {0xffffffff80000000, 1},
      {0xc008000000000000, 2},  // li, sldi
      {0x0000ffffffffffff, 2},  // li -1, clrldi
      {0x7fffffffffffffff, 2},
      {0x8000000000000000, 2},
      {0xc00800000012a468, 4},  // by halves, one halfword is zero
      {0xc008000100120000, 4},  // lis, ori, sldi, oris
      {0xc00800010012a468, 5},
      {0x123456789abcdef0, 5},
  };
  for (const Expected& row : table) {
    EXPECT_LE(loaded(row.value).size(), row.words) << std::hex << row.value;
    EXPECT_EQ(constant_of(loaded(row.value)), row.value) << std::hex << row.value;
  }
  EXPECT_EQ(loaded(0x123456789abcdef0).size(), 5U);
}

TEST(Immediate, RightAroundEveryPowerOfTwo) {
  for (unsigned bit = 0; bit < 64; ++bit) {
    for (std::uint64_t delta = 0; delta < 9; ++delta) {
      const std::uint64_t value = (std::uint64_t{1} << bit) + delta - 4;
      EXPECT_EQ(constant_of(loaded(value)), value) << std::hex << value;
      EXPECT_EQ(constant_of(loaded(~value)), ~value) << std::hex << ~value;
      EXPECT_LE(loaded(value).size(), 5U);
    }
  }
}

// Each halfword 0, small, negative as a signed one, and all ones.
TEST(Immediate, FixedIsFiveWordsWhateverTheValue) {
  const std::array<std::uint64_t, 4> fields = {0, 0x12, 0x8000, 0xffff};
  for (std::size_t mix = 0; mix < 256; ++mix) {
    const std::uint64_t value = fields[mix & 3] << 48 | fields[mix >> 2 & 3] << 32 |
                                fields[mix >> 4 & 3] << 16 | fields[mix >> 6 & 3];
    Emitter out;
    load_immediate_fixed(out, ppc64::Gpr::r12, value);
    EXPECT_EQ(out.words().size(), 5U);
    EXPECT_EQ(constant_of(out.words()), value) << std::hex << value;
    EXPECT_EQ(constant_of(loaded(value)), value) << std::hex << value;
  }
}

}  // namespace
}  // namespace farcall::jit::immediate_test
