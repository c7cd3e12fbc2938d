#include "base/byte_order.hpp"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cstdint>

namespace farcall::byte_order_test {
namespace {

template <typename T>
std::array<std::byte, sizeof(T)> bytes_of(const T& value) {
  return std::bit_cast<std::array<std::byte, sizeof(T)>>(value);
}

constexpr std::array<std::byte, 8> kBytes = {std::byte{0x11}, std::byte{0x22}, std::byte{0x33},
                                             std::byte{0x44}, std::byte{0x55}, std::byte{0x66},
                                             std::byte{0x77}, std::byte{0x88}};

// When compiled and when run, the functions take different ways.
static_assert(load<std::uint32_t>(kBytes.data(), std::endian::big) == 0x11223344);
static_assert(load<std::uint16_t>(kBytes.data(), std::endian::little) == 0x2211);
static_assert(std::uint64_t{ub64(0x1122334455667788)} == 0x1122334455667788);
static_assert(std::uint64_t{ul64(0x1122334455667788)} == 0x1122334455667788);

TEST(ByteOrder, Loads) {
  EXPECT_EQ(load<std::uint8_t>(kBytes.data(), std::endian::big), 0x11);
  EXPECT_EQ(load<std::uint8_t>(kBytes.data(), std::endian::little), 0x11);
  EXPECT_EQ(load<std::uint16_t>(kBytes.data(), std::endian::big), 0x1122);
  EXPECT_EQ(load<std::uint16_t>(kBytes.data(), std::endian::little), 0x2211);
  EXPECT_EQ(load<std::uint32_t>(kBytes.data(), std::endian::big), 0x11223344);
  EXPECT_EQ(load<std::uint32_t>(kBytes.data(), std::endian::little), 0x44332211);
  EXPECT_EQ(load<std::uint64_t>(kBytes.data(), std::endian::big), 0x1122334455667788);
  EXPECT_EQ(load<std::uint64_t>(kBytes.data(), std::endian::little), 0x8877665544332211);
}

TEST(ByteOrder, Stores) {
  std::array<std::byte, 8> bytes{};
  store(bytes.data(), std::uint64_t{0x1122334455667788}, std::endian::big);
  EXPECT_EQ(bytes, kBytes);
  store(bytes.data(), std::uint64_t{0x8877665544332211}, std::endian::little);
  EXPECT_EQ(bytes, kBytes);
  store(bytes.data(), std::uint16_t{0xaabb}, std::endian::little);
  EXPECT_EQ(bytes[0], std::byte{0xbb});
  EXPECT_EQ(bytes[1], std::byte{0xaa});
  EXPECT_EQ(bytes[2], kBytes[2]);
}

TEST(ByteOrder, TheOrderIsInTheType) {
  EXPECT_EQ(bytes_of(ub64(0x1122334455667788)), kBytes);
  EXPECT_EQ(bytes_of(ul64(0x8877665544332211)), kBytes);
  EXPECT_EQ(bytes_of(ub16(0x0102)), (std::array{std::byte{1}, std::byte{2}}));
  ul32 value = 5;
  value = value + 1;
  EXPECT_EQ(value, 6U);
}

}  // namespace
}  // namespace farcall::byte_order_test
