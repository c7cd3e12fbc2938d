// Expected bytes are laid out by hand from RFC 9669 section 3.
#include "bpf/codec.hpp"

#include <gtest/gtest.h>

#include <initializer_list>
#include <vector>

#include "bpf/instruction.hpp"

namespace farcall::bpf::codec_test {
namespace {

SlotBytes bytes_of(std::initializer_list<unsigned> values) {
  SlotBytes bytes{};
  std::size_t at = 0;
  for (const unsigned value : values) {
    bytes[at++] = static_cast<std::byte>(value);
  }
  return bytes;
}

constexpr Slot kStore{.opcode = 0x7b, .dst = 10, .src = 2, .offset = -8, .imm = 0};
constexpr Slot kCall{.opcode = 0x85, .dst = 0, .src = 1, .offset = 0x1234, .imm = 0x01020304};
constexpr Slot kExtreme{.opcode = 0xff, .dst = 15, .src = 0, .offset = -32768, .imm = -2};

TEST(Codec, LittleEndian) {
  EXPECT_EQ(encode(kStore, std::endian::little), bytes_of({0x7b, 0x2a, 0xf8, 0xff, 0, 0, 0, 0}));
  EXPECT_EQ(encode(kCall, std::endian::little),
            bytes_of({0x85, 0x10, 0x34, 0x12, 0x04, 0x03, 0x02, 0x01}));
  EXPECT_EQ(encode(kExtreme, std::endian::little),
            bytes_of({0xff, 0x0f, 0x00, 0x80, 0xfe, 0xff, 0xff, 0xff}));
}

TEST(Codec, BigEndianHasDstInTheHighNibble) {
  EXPECT_EQ(encode(kStore, std::endian::big), bytes_of({0x7b, 0xa2, 0xff, 0xf8, 0, 0, 0, 0}));
  EXPECT_EQ(encode(kCall, std::endian::big),
            bytes_of({0x85, 0x01, 0x12, 0x34, 0x01, 0x02, 0x03, 0x04}));
  EXPECT_EQ(encode(kExtreme, std::endian::big),
            bytes_of({0xff, 0xf0, 0x80, 0x00, 0xff, 0xff, 0xff, 0xfe}));
}

TEST(Codec, ASlotIsANumberOfTheMachinesOrder) {
  EXPECT_EQ(word_of(kCall, std::endian::little), 0x01020304'1234'10'85U);
  EXPECT_EQ(word_of(kCall, std::endian::big), 0x85'01'1234'01020304U);
  for (const Slot& slot : {kStore, kCall, kExtreme}) {
    for (const std::endian order : {std::endian::little, std::endian::big}) {
      EXPECT_EQ(slot_of_word(word_of(slot, order), order), slot);
    }
  }
}

TEST(Codec, DecodeIsTheWayBack) {
  for (const Slot& slot : {kStore, kCall, kExtreme}) {
    for (const std::endian order : {std::endian::little, std::endian::big}) {
      EXPECT_EQ(decode(encode(slot, order), order), slot);
    }
  }
  EXPECT_NE(decode(encode(kCall, std::endian::big), std::endian::little), kCall);
}

TEST(Codec, WholePrograms) {
  const std::vector<Slot> slots = {kStore, kCall};
  const std::vector<std::byte> bytes = encode(slots, std::endian::big);
  ASSERT_EQ(bytes.size(), 16);
  EXPECT_EQ(bytes[8], std::byte{0x85});
  EXPECT_EQ(decode_slots(bytes, std::endian::big).value(), slots);
  const auto cut = decode_slots(std::span(bytes).first(15), std::endian::big);
  ASSERT_FALSE(cut);
  EXPECT_EQ(cut.error().code, ErrorCode::bpf_truncated_slot);
  EXPECT_TRUE(decode_slots({}, std::endian::little).value().empty());
}

TEST(Codec, ImmediateOf64Bits) {
  const auto [first, second] = load_immediate64_slots(3, 0x1122334480000001);
  EXPECT_EQ(first, (Slot{.opcode = 0x18, .dst = 3, .imm = -0x7fffffff}));
  EXPECT_EQ(second, (Slot{.imm = 0x11223344}));
  EXPECT_EQ(immediate64(first, second), 0x1122334480000001);
}

}  // namespace
}  // namespace farcall::bpf::codec_test
