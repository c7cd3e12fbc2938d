#include "show/tag.hpp"

#include <gmock/gmock.h>

#include "bpf/instruction.hpp"
#include "tests/show/support.hpp"

namespace farcall::show::tag_test {
namespace {

using ::testing::ElementsAre;

// The digests here are those of `sha1sum` and `sha256sum` over bytes that were written out by hand
// from RFC 9669, none of farcall's codec:
//
//   little-endian            big-endian
//   8510000001000000         8501000000000001   call, pc-relative 1
//   9500000000000000         9500000000000000   exit
//   b700000007000000         b700000000000007   r0 = 7
//   9500000000000000         9500000000000000   exit
//
// and, as rewritten, 8510010001000000 or 8501000100000001 for the call: off = 1, imm = 1. As in
// `printf 85100100010000009500000000000000 | xxd -r -p | sha1sum`. The program is that of
// support.hpp.
std::vector<std::string> texts(const ProgramTags& tags) {
  std::vector<std::string> all = {to_string(tags.program)};
  for (const Tag tag : tags.functions) {
    all.push_back(to_string(tag));
  }
  return all;
}

TEST(Tag, OfProgramAndFunctionsInBothByteOrders) {
  EXPECT_THAT(texts(tags(caller_and_callee(), std::endian::little, TagHash::sha1)),
              ElementsAre("b2715c0f7f689679", "163e74e7188910f2", "8923dad831f6fb51"));
  EXPECT_THAT(texts(tags(caller_and_callee(), std::endian::big, TagHash::sha1)),
              ElementsAre("83709e8ca95670a0", "f338591e41614043", "c8b3b169747e2ba0"));
}

TEST(Tag, OfNewerKernels) {
  EXPECT_THAT(texts(tags(caller_and_callee(), std::endian::little, TagHash::sha256)),
              ElementsAre("9683c4e123f7f629", "3765c04ba09fff28", "9efe8873120741b3"));
  EXPECT_THAT(texts(tags(caller_and_callee(), std::endian::big, TagHash::sha256)),
              ElementsAre("6fe141fe231b5ab0", "8e8e0b32eb87f4d0", "59416b698aa06022"));
}

// Two loads of maps, whose imm differs from load to load, and one of something else, whose does
// not:
//   1811000000000000 0000000000000000 1822000000000000 0000000000000000
//   1803000007000000 0000000008000000 9500000000000000
TEST(Tag, IsTheSameWhateverNumbersMapsHave) {
  constexpr std::uint8_t kLoad = bpf::kLoadImmediate64;
  for (const std::int32_t map : {0, 5, -1}) {
    const bpf::Program program{.slots = {{.opcode = kLoad, .dst = 1, .src = 1, .imm = map},
                                         {.imm = map},
                                         {.opcode = kLoad, .dst = 2, .src = 2, .imm = map},
                                         {.imm = map},
                                         {.opcode = kLoad, .dst = 3, .imm = 7},
                                         {.imm = 8},
                                         {.opcode = 0x95}},
                               .functions = {{.name = "main", .begin = 0, .end = 7}}};
    EXPECT_EQ(to_string(tags(program, std::endian::little, TagHash::sha1).program),
              "954726c30b923434");
  }
}

// A load of a function's address, and an exit, as sha1sum has them with the function's number as off
// and a placeholder as imm:
//   1842010001000000 0000000001000000 9500000000000000
//   1842010000000000 00000000000008c0 9500000000000000
TEST(Tag, OfAFunctionPointerHasTheNumberAndAPlaceholder) {
  const bpf::Program program{
      .slots = {{.opcode = bpf::kLoadImmediate64, .dst = 2, .src = 4, .imm = 2},
                {},
                {.opcode = 0x95},
                {.opcode = 0x95}},
      .functions = {{.name = "main", .begin = 0, .end = 3}, {.name = "f", .begin = 3, .end = 4}}};
  EXPECT_EQ(to_string(tags(program, std::endian::little, TagHash::sha1).functions[0]),
            "5d1f759acd6a4d62");
  EXPECT_EQ(
      to_string(
          tags(program, std::endian::little, TagHash::sha1, 0xc008'0000'0000'0000).functions[0]),
      "53e19e037a2194b8");
}

TEST(Tag, OfASymbolIsTheWholeProgramsForTheFirstFunction) {
  const ProgramTags all = tags(caller_and_callee(), std::endian::little, TagHash::sha1);
  EXPECT_EQ(to_string(all.of_symbol(0)), "b2715c0f7f689679");
  EXPECT_EQ(to_string(all.of_symbol(1)), "8923dad831f6fb51");
}

TEST(Tag, ReadsWhatItWrites) {
  EXPECT_EQ(tag_from("00715c0f7f689679"), Tag{0x00715c0f7f689679});
  for (const char* const text : {"", "b2715c0f7f68967", "b2715c0f7f6896790", "b2715c0f7f68967g",
                                 "0x715c0f7f689679", "-2715c0f7f689679", " 2715c0f7f689679"}) {
    EXPECT_EQ(tag_from(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace farcall::show::tag_test
