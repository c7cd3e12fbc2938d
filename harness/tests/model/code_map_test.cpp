#include "model/code_map.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bpf/assembler.hpp"

namespace farcall::model::code_map_test {
namespace {

constexpr GuestAddress kMain = {0xffff'ffff'ffff'ffd8};  // ten words up to the end of all addresses

struct Sample {
  bpf::Program program = bpf::assemble(
                             "lddw %r1, 0x123456789\nle64 %r1\njeq %r1, 0, +1\nexit\n"
                             "mov %r0, 7\nexit\n",
                             {"test", 1, 1})
                             .value();
  // Prologue of two words, lddw of three, nothing, two, the first exit, one, the epilogue of one.
  CodeImage image = {
      .functions = {{.name = "main",
                     .address = kMain,
                     .words = std::vector<std::uint32_t>(10),
                     .lines = {{0, 2}, {1, 5}, {2, 5}, {3, 7}, {4, 8}, {5, 9}, {6, 9}}}},
      .entry = kMain};
};

TEST(CodeMap, SaysWhichCodeAnInstructionHas) {
  const Sample sample;
  const CodeMap map = code_map(sample.program, sample.image);
  const std::vector<PlacedInstruction> wanted = {{0, 0, kMain + 8, 12}, {0, 2, kMain + 20, 0},
                                                 {0, 3, kMain + 20, 8}, {0, 4, kMain + 28, 4},
                                                 {0, 5, kMain + 32, 4}, {0, 6, kMain + 36, 4}};
  EXPECT_EQ(map.instructions, wanted);
  EXPECT_EQ(map.epilogues, (std::vector<std::optional<GuestAddress>>{kMain + 36}));
}

TEST(CodeMap, FindsByAddressAndBySlot) {
  const Sample sample;
  const CodeMap map = code_map(sample.program, sample.image);
  EXPECT_EQ(map.at(kMain), nullptr);  // the prologue
  EXPECT_EQ(map.at(kMain + 16)->slot, 0U);
  EXPECT_EQ(map.at(kMain + 20)->slot, 3U);  // not the one without code
  EXPECT_EQ(map.at(kMain + 36)->slot, 6U);
  EXPECT_EQ(map.at(GuestAddress{0}), nullptr);
  EXPECT_EQ(map.of(3)->begin, kMain + 20);
  EXPECT_EQ(map.of(1), nullptr);  // the second half of lddw
  EXPECT_EQ(function_at(sample.image, kMain + 36), 0U);
  EXPECT_EQ(function_at(sample.image, GuestAddress{0}), std::nullopt);
}

TEST(CodeMap, TakesWhatAnotherJitSays) {
  Sample sample;
  sample.image.functions[0].lines = {{2, 5}, {5, 9}};  // not all, and no epilogue
  CodeMap map = code_map(sample.program, sample.image);
  EXPECT_EQ(map.instructions,
            (std::vector<PlacedInstruction>{{0, 3, kMain + 20, 16}, {0, 6, kMain + 36, 4}}));
  EXPECT_EQ(map.epilogues.front(), std::nullopt);

  sample.image.functions[0].lines.clear();
  map = code_map(sample.program, sample.image);
  EXPECT_TRUE(map.instructions.empty());
  EXPECT_EQ(map.at(kMain + 20), nullptr);
  EXPECT_EQ(map.of(3), nullptr);
}

}  // namespace
}  // namespace farcall::model::code_map_test
