#include "engine/wire.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/byte_order.hpp"
#include "engine/farcall_jit.h"
#include "tests/engine/support.hpp"

namespace farcall::engine::wire_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr GuestAddress kMain = {0xc000'0000'0001'0000};
constexpr GuestAddress kCallee = {0xc008'0000'0012'a468};

model::Document two_functions() {
  return document("call local callee\nexit\ncallee:\nmov %r0, 1\nexit\n", {kMain, kCallee});
}

// An answer, word by word.
std::vector<std::byte> bytes_of(std::vector<std::uint32_t> words) {
  words.insert(words.begin(), static_cast<std::uint32_t>(words.size() + 1) * 4);
  std::vector<std::byte> bytes(words.size() * 4);
  for (std::size_t i = 0; i < words.size(); ++i) {
    store(bytes.data() + i * 4, words[i], std::endian::little);
  }
  return bytes;
}

constexpr std::uint32_t kNotTold = 0xffffffff;
constexpr std::uint32_t kNop = 0x60000000;
constexpr std::uint32_t kBlr = 0x4e800020;

// The callee first: functions are known by their addresses.
std::vector<std::uint32_t> good() {
  return {5,          0,          2, kNotTold, kNotTold, 0x00ffffff, 0, 0,           //
          0x0012a468, 0xc0080000, 1, 0,        0,        0,          0, 0, 0, kBlr,  //
          0x00010000, 0xc0000000, 2, 0,        0,        0,          2, 1, 1, kNop,
          kBlr,       0,          0, 1,        1,        0,          2};
}

TEST(Wire, ARequestHasTheProgramAndItsAddresses) {
  const model::Document document = two_functions();
  const std::vector<std::byte> bytes = request(document.cell, 5);
  const auto* const at = reinterpret_cast<const farcall_u8*>(bytes.data());
  const farcall_request read = farcall_request_at(at);
  EXPECT_EQ(read.bytes, bytes.size());
  EXPECT_EQ(read.number, 5U);
  EXPECT_EQ(read.flags, 0U);
  EXPECT_EQ(read.cpu, 9U);
  EXPECT_EQ(read.toc, document.cell.placement.toc.value);
  EXPECT_EQ(read.call_base, document.cell.placement.call_base.value);
  ASSERT_EQ(read.function_count, 2U);
  ASSERT_EQ(read.slot_count, 4U);
  EXPECT_EQ(farcall_get64(read.functions + FARCALL_FUNCTION_BYTES), kCallee.value);
  EXPECT_EQ(farcall_get32(read.functions + FARCALL_FUNCTION_BYTES + 8), 2U);
  EXPECT_EQ(farcall_get32(read.functions + FARCALL_FUNCTION_BYTES + 12), 4U);
  EXPECT_EQ(read.slots + 4UL * FARCALL_SLOT_BYTES, at + bytes.size());
  EXPECT_EQ(read.slots[0], 0x85);                // call
  EXPECT_EQ(read.slots[1], 0x10);                // local
  EXPECT_EQ(farcall_get32(read.slots + 4), 1U);  // one slot after the next
}

TEST(Wire, FunctionsAreFoundByTheirAddresses) {
  const model::Document document = two_functions();
  const auto image = read_answer(bytes_of(good()), document.cell, 5);
  ASSERT_TRUE(image) << image.error().message;
  ASSERT_EQ(image.value().functions.size(), 2U);
  const model::CodeFunction& main = image.value().functions[0];
  EXPECT_EQ(main.name, "main");
  EXPECT_THAT(main.words, ElementsAre(kNop, kBlr));
  EXPECT_THAT(main.lines, ElementsAre(model::CodeLine{0, 0}, model::CodeLine{1, 1}));
  EXPECT_THAT(main.pass_words, ElementsAre(2));
  EXPECT_EQ(image.value().functions[1].name, "callee");
  ASSERT_EQ(image.value().calls.size(), 1U);
  EXPECT_EQ(image.value().calls[0].at, kMain);
  EXPECT_EQ(image.value().entry, kMain);
}

struct Spoiled {
  std::size_t word;
  std::uint32_t value;
  const char* message;
};

TEST(Wire, WhatIsNoAnswerIsRefused) {
  const model::Document document = two_functions();
  for (const Spoiled& spoiled : {
           Spoiled{0, 6, "answered request 6; expected an answer to 5"},
           Spoiled{1, 9, "status 9"},
           Spoiled{2, 3, "ends within a function"},
           Spoiled{2, 1, "follow the answer's last function"},
           Spoiled{6, 1, "an array of programs is at"},
           Spoiled{7, 5000, "thread area has 5000 bytes"},
           Spoiled{8, 0x0012a46c, "expected code of callee"},
           Spoiled{11, 6, "6 of them its descriptor"},
           Spoiled{13, 1, "1 of them stubs"},
           Spoiled{10, 0x40000000, "ends within a function"},
           Spoiled{14, 0x40000000, "row 0 of the line table"},
           Spoiled{32, 3, "the line table"},
       }) {
    std::vector<std::uint32_t> words = good();
    words[spoiled.word] = spoiled.value;
    const auto image = read_answer(bytes_of(words), document.cell, 5);
    ASSERT_FALSE(image) << spoiled.message;
    EXPECT_EQ(image.error().code, ErrorCode::jit_bad_answer) << spoiled.message;
    EXPECT_THAT(image.error().message, HasSubstr(spoiled.message));
  }
}

constexpr GuestAddress kJumps = {0xc000'0000'0280'0000};

// Its second element is the callee; the third is a function that is none of the program's.
model::Document with_array(std::endian order) {
  model::Document document = two_functions();
  auto program = *document.cell.program;
  program.maps.push_back({.name = "jumps", .value_bytes = 0});
  document.cell.program = std::make_shared<const bpf::Program>(std::move(program));
  std::vector<std::byte> bytes(8 + 3 * 8);
  store(bytes.data(), std::uint32_t{3}, order);
  store(bytes.data() + 16, kCallee.value, order);
  store(bytes.data() + 24, std::uint64_t{0x1234}, order);
  document.cell.memory = {{.name = "jumps", .address = kJumps, .bytes = std::move(bytes)}};
  return document;
}

// Its functions find it at its address as it is: no structure of a JIT's takes its place.
TEST(Wire, AHashTableIsNoArrayOfPrograms) {
  model::Document document = with_array(std::endian::little);
  document.cell.axes.endian = model::Endian::little;
  store(document.cell.memory.front().bytes.own().data(), std::uint32_t{0}, std::endian::little);
  const std::vector<std::byte> bytes = request(document.cell, 5);
  const farcall_request read =
      farcall_request_at(reinterpret_cast<const farcall_u8*>(bytes.data()));
  ASSERT_EQ(read.map_count, 1U);
  EXPECT_EQ(farcall_get32(read.maps + 12), 0U);
}

TEST(Wire, ARequestHasTheProgramsOfAnArray) {
  for (const model::Endian endian : {model::Endian::little, model::Endian::big}) {
    model::Document document = with_array(model::byte_order(endian));
    document.cell.axes.endian = endian;
    const std::vector<std::byte> bytes = request(document.cell, 5);
    const auto* const at = reinterpret_cast<const farcall_u8*>(bytes.data());
    const farcall_request read = farcall_request_at(at);
    ASSERT_EQ(read.map_count, 1U);
    EXPECT_EQ(farcall_get32(read.maps + 12), 3U);
    EXPECT_EQ(read.arrays + 3 * 4, at + bytes.size());
    constexpr auto kNone = static_cast<farcall_u32>(FARCALL_NO_PROGRAM);
    EXPECT_EQ(farcall_get32(read.arrays), kNone);
    EXPECT_EQ(farcall_get32(read.arrays + 4), 1U);
    EXPECT_EQ(farcall_get32(read.arrays + 8), kNone);
  }
}

TEST(Wire, AnAnswerHasArraysAsItsCodeReadsThem) {
  const model::Document document = with_array(std::endian::little);
  std::vector<std::uint32_t> words = good();
  words[5] = 0x01ffffff;  // no TOC
  words[6] = 1;
  const std::vector<std::uint32_t> array = {0x02800000, 0xc0000000, 8, 0, 0x11111111, 0x22222222};
  words.insert(words.begin() + 8, array.begin(), array.end());
  const auto answer = bytes_of(words);
  EXPECT_EQ(helper_entry(answer), HelperEntry::global);
  EXPECT_EQ(helper_entry(bytes_of(good())), HelperEntry::local);
  const auto image = read_answer(answer, document.cell, 5);
  ASSERT_TRUE(image) << image.error().message;
  ASSERT_EQ(image.value().kernel_memory.size(), 1U);
  EXPECT_EQ(image.value().kernel_memory[0].address, kJumps);
  EXPECT_EQ(image.value().kernel_memory[0].bytes.size(), 8U);
  EXPECT_EQ(image.value().functions.size(), 2U);
}

TEST(Wire, TheReasonForNoImageIsPrintable) {
  const model::Document document = two_functions();
  const auto image = read_answer(bytes_of({5, 2, 0x0a6f6e1b}), document.cell, 5);
  ASSERT_FALSE(image);
  EXPECT_EQ(image.error().code, ErrorCode::jit_refused);
  EXPECT_EQ(image.error().message, " no");
}

}  // namespace
}  // namespace farcall::engine::wire_test
