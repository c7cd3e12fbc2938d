// Jumps within a function, at and beyond what a conditional branch reaches. Followed in the words.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "decode/call_sites.hpp"
#include "jit/compile.hpp"
#include "jit/reach.hpp"
#include "support.hpp"

namespace farcall::jit::branch_test {
namespace {

std::vector<std::uint32_t> words_of(const std::string& assembly) {
  const auto image = compile(linked(assembly, {{0x10000}}), {});
  if (!image) {
    throw std::runtime_error(to_string(image.error()));
  }
  return image.value().functions[0].words;
}

std::string filler(std::size_t words) {
  std::string text;
  for (std::size_t i = 0; i < words; ++i) {
    text += "mov %r2, %r3\n";
  }
  return text;
}

std::size_t position_of(const std::vector<std::uint32_t>& words, std::uint32_t word) {
  return static_cast<std::size_t>(std::ranges::find(words, word) - words.begin());
}

std::int64_t b_words(std::uint32_t word) {
  return static_cast<std::int32_t>((word & 0x3fffffc) << 6) >> 8;
}
std::int64_t bc_words(std::uint32_t word) {
  return static_cast<std::int16_t>(word & 0xfffc) / 4;
}

constexpr std::uint32_t kCompare = 0x2c230000;  // cmpdi r3,0
constexpr std::uint32_t kMark = 0x39000457;     // li r8,1111

struct Jump {
  std::size_t to = 0;
  bool far = false;
};

// Where the code of `jeq %r1, 0, …` goes if they are equal; the words after it if they are not.
Jump follow(const std::vector<std::uint32_t>& words) {
  const std::size_t at = position_of(words, kCompare) + 1;
  const std::uint32_t branch = words.at(at);
  const std::uint32_t bo_bi = branch >> 16 & 0x3ff;
  if (branch >> 26 == 16 && bo_bi == (12U << 5 | 2)) {  // beq
    return {at + static_cast<std::size_t>(bc_words(branch)), false};
  }
  EXPECT_EQ(branch, 0x40820008U);  // bne over the next word
  EXPECT_EQ(words.at(at + 1) >> 26, 18U);
  return {at + 1 + static_cast<std::size_t>(b_words(words.at(at + 1))), true};
}

TEST(Branch, ForwardAroundTheLimit) {
  for (std::size_t between = 8187; between <= 8193; ++between) {
    const auto words =
        words_of("jeq %r1, 0, there\n" + filler(between) + "there:\nmov %r0, 1111\nexit\n");
    const Jump jump = follow(words);
    EXPECT_EQ(jump.to, position_of(words, kMark)) << between;
    EXPECT_EQ(jump.far, (between + 1) * 4 > 32767) << between;
  }
}

TEST(Branch, BackwardAroundTheLimit) {
  for (std::size_t between = 8187; between <= 8193; ++between) {
    const auto words =
        words_of("there:\nmov %r0, 1111\n" + filler(between - 2) + "jeq %r1, 0, there\nexit\n");
    const Jump jump = follow(words);
    EXPECT_EQ(jump.to, position_of(words, kMark)) << between;
    // From the branch back over the compare, the filler and the mark.
    EXPECT_EQ(jump.far, between * 4 > 32768) << between;
  }
}

// All but the last of these jumps just reach their targets. The last does not, and lies between
// each other jump and its target: its second word puts them all out of reach.
TEST(Branch, LengtheningOneMayLengthenAnother) {
  std::string text;
  constexpr std::uint32_t kJumps = 5;
  for (std::uint32_t i = 0; i < kJumps; ++i) {
    text += "jeq %r1, " + std::to_string(100 + i) + ", end" + std::to_string(i) + "\n";
  }
  text += filler(8192 - 2 * kJumps);
  for (std::uint32_t i = 0; i < kJumps; ++i) {
    text += filler(i + 1 == kJumps ? 1 : 0) + "end" + std::to_string(i) + ":\nmov %r2, " +
            std::to_string(200 + i) + "\n" + filler(1);
  }
  text += "exit\n";
  const auto image = compile(linked(text, {{0x10000}}), {});
  ASSERT_TRUE(image);
  const model::CodeFunction& code = image.value().functions[0];
  const auto size = static_cast<std::uint32_t>(code.words.size());
  EXPECT_THAT(code.pass_words,
              ::testing::ElementsAre(size - kJumps, size - kJumps + 1, size, size));
  std::size_t far = 0;
  for (std::uint32_t i = 0; i < kJumps; ++i) {
    const std::size_t at = position_of(code.words, 0x2c230000 | (100 + i)) + 1;
    const std::size_t wanted = position_of(code.words, 0x38800000 | (200 + i));
    const bool is_far = (code.words.at(at) & 0xffff0000) == 0x40820000;
    far += is_far;
    const std::int64_t by =
        is_far ? 1 + b_words(code.words.at(at + 1)) : bc_words(code.words.at(at));
    EXPECT_EQ(at + static_cast<std::size_t>(by), wanted) << i;
  }
  EXPECT_EQ(far, kJumps);
}

// 64 KiB and more of code with a call in every stretch of it: wherever the words of a call put what
// follows, every jump goes to its own mark. Around the limit, to the word.
TEST(Branch, LargeProgramsOfEveryReach) {
  constexpr std::uint32_t kJumps = 24;
  for (const ReachInfo& reach : kReaches) {
    for (const model::Abi abi : {model::Abi::elfv1, model::Abi::elfv2}) {
      for (std::size_t shift = 0; shift < 16; shift += 5) {
        std::string text;
        for (std::uint32_t i = 0; i < kJumps; ++i) {
          text += "jeq %r1, " + std::to_string(100 + i) + ", end" + std::to_string(i) + "\n" +
                  "call local callee\n" + filler(680 + (i == 0 ? shift : 0));
        }
        for (std::uint32_t i = 0; i < kJumps; ++i) {
          text += "end" + std::to_string(i) + ":\nmov %r2, " + std::to_string(200 + i) + "\n" +
                  "jeq %r1, " + std::to_string(300 + i) + ", end0\n";
        }
        text += "exit\ncallee:\nmov %r0, 1\nexit\n";
        model::LinkedProgram program = linked(text, {{0x10000}, {0x80000}});
        program.toc = {0x60000};
        const auto image = compile(program, {.endian = model::Endian::big,
                                             .cpu = model::Cpu::power10,
                                             .abi = abi,
                                             .reach = reach.reach});
        ASSERT_TRUE(image);
        const model::CodeFunction& code = image.value().functions[0];
        ASSERT_GT(code.words.size() * 4, std::size_t{64} << 10);
        const auto landing = [&code](std::uint32_t compared) {
          const std::size_t at = position_of(code.words, 0x2c230000 | compared) + 1;
          const std::uint32_t branch = code.words.at(at);
          const bool far = branch == 0x40820008;
          return at + static_cast<std::size_t>(far ? 1 + b_words(code.words.at(at + 1))
                                                   : bc_words(branch));
        };
        for (std::uint32_t i = 0; i < kJumps; ++i) {
          EXPECT_EQ(landing(100 + i), position_of(code.words, 0x38800000 | (200 + i)));
          EXPECT_EQ(landing(300 + i), position_of(code.words, 0x38800000 | 200));
        }
        ASSERT_EQ(image.value().calls.size(), kJumps);
        const auto sites =
            decode::call_sites(image.value(), {.endian = model::Endian::big, .toc = program.toc});
        ASSERT_EQ(sites.size(), kJumps);
        for (std::size_t i = 0; i < kJumps; ++i) {
          EXPECT_EQ(sites[i].at, image.value().calls[i].at);
          EXPECT_EQ(sites[i].target, image.value().functions[1].code());
        }
      }
    }
  }
}

TEST(Branch, ExitGoesToTheEpilogue) {
  const auto words = words_of("mov %r0, 1111\nexit\nmov %r0, 2\nexit\n");
  const std::size_t at = position_of(words, kMark) + 1;
  EXPECT_EQ(words.at(at) >> 26, 18U);
  EXPECT_EQ(words.at(at + static_cast<std::size_t>(b_words(words.at(at)))),
            0x7d034378U);  // mr r3,r8
}

// Each condition by its BO and BI, from RFC 9669 section 4.3 and the Power ISA.
TEST(Branch, Conditions) {
  struct Expected {
    const char* mnemonic;
    std::uint32_t compare;  // r3 with r4, 64 bits
    std::uint32_t bo;
    std::uint32_t bi;
  };
  constexpr std::uint32_t kSigned = 0x7c232000;
  constexpr std::uint32_t kUnsigned = 0x7c232040;
  const std::vector<Expected> table = {
      {"jeq", kSigned, 12, 2},  {"jne", kSigned, 4, 2},    {"jgt", kUnsigned, 12, 1},
      {"jge", kUnsigned, 4, 0}, {"jlt", kUnsigned, 12, 0}, {"jle", kUnsigned, 4, 1},
      {"jsgt", kSigned, 12, 1}, {"jsge", kSigned, 4, 0},   {"jslt", kSigned, 12, 0},
      {"jsle", kSigned, 4, 1},
  };
  for (const Expected& row : table) {
    for (const bool wide : {true, false}) {
      const std::string name = std::string(row.mnemonic) + (wide ? "" : "32");
      const auto words = words_of(name + " %r1, %r2, +1\nmov %r0, 1\nmov %r0, 1111\nexit\n");
      const std::size_t at = position_of(words, wide ? row.compare : row.compare & ~(1U << 21));
      ASSERT_LT(at, words.size()) << name;
      EXPECT_EQ(words.at(at + 1), 16U << 26 | row.bo << 21 | row.bi << 16 | 8) << name;
    }
  }
}

}  // namespace
}  // namespace farcall::jit::branch_test
