#include "kernel/exchange.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "base/byte_order.hpp"
#include "bpf/codec.hpp"
#include "tests/kernel/bytes.hpp"

namespace farcall::kernel::exchange_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using tests::put;
using tests::text_of;

constexpr std::uint64_t kNonce = 0x1234'5678'8765'4321;
constexpr std::endian kOrder = std::endian::little;

const std::vector<Question> kQuestions = {
    {.slots = {{.opcode = 0x95}}, .regions = {{.bytes = {std::byte{9}, std::byte{9}}}}}};

wire::KernelFunction function(std::uint64_t address, std::uint32_t bytes, const char* symbol) {
  wire::KernelFunction one{.address = address, .code_bytes = bytes, .reserved = 0, .symbol = {}};
  std::strncpy(one.symbol, symbol, sizeof one.symbol - 1);
  return one;
}

// What the agent writes of one program: two functions of two words and one, a slot, a region of two
// bytes, a line of the kernel's log.
std::vector<std::byte> reply(std::uint64_t end_nonce = kNonce) {
  std::vector<std::byte> bytes;
  put(bytes, wire::KernelReply{wire::kReplyBegin, kNonce, 1, 0});
  put(bytes, wire::KernelAnswer{.outcome = 0,
                                .error = 0,
                                .result = 111,
                                .function_count = 2,
                                .code_bytes = 12,
                                .program_bytes = 8,
                                .region_count = 1,
                                .log_bytes = 0,
                                .kernel_log_bytes = 3,
                                .line_count = 1,
                                .function_type_count = 1,
                                .target_count = 0});
  put(bytes, function(0xc0080000003b7c10, 8, "bpf_prog_0123456789abcdef_main"));
  put(bytes, function(0xc00800000041153c, 4, "bpf_prog_fedcba9876543210_F"));
  for (const std::uint32_t word : {0xe84d0010U, 0x60000000U, 0x4e800020U}) {
    put(bytes, ul32(word));
  }
  const auto exit = bpf::encode(bpf::Slot{.opcode = 0x95}, std::endian::little);
  bytes.insert(bytes.end(), exit.begin(), exit.end());
  put(bytes, ul32(0));  // the type of its function: slot, number
  put(bytes, ul32(3));
  put(bytes,
      wire::KernelLine{.address = 0xc0080000003b7c14, .slot = 0, .line_and_column = 5U << 10U});
  put(bytes, wire::KernelRegionAfter{.address = 0xc008000000540000,
                                     .byte_count = 2,
                                     .piece_count = 0,
                                     .values_at = 0,
                                     .reserved = 0});
  put(bytes, std::uint8_t{7});
  put(bytes, std::uint8_t{8});
  for (const char letter : {'l', 'o', 'g'}) {
    put(bytes, letter);
  }
  put(bytes, wire::KernelReply{wire::kReplyEnd, end_nonce, 1, 0});
  return bytes;
}

TEST(Exchange, AReplyIsReadAsItWasWritten) {
  const auto read = read_reply(reply(), kQuestions, kNonce, kOrder);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_TRUE(read.value().is_whole);
  ASSERT_EQ(read.value().answers.size(), 1U);
  const Answer& answer = read.value().answers.front();
  EXPECT_EQ(answer.result, 111U);
  EXPECT_THAT(
      answer.functions,
      ElementsAre(
          JitedFunction{
              {0xc0080000003b7c10}, "bpf_prog_0123456789abcdef_main", {0xe84d0010, 0x60000000}},
          JitedFunction{{0xc00800000041153c}, "bpf_prog_fedcba9876543210_F", {0x4e800020}}));
  EXPECT_THAT(answer.program, ElementsAre(bpf::Slot{.opcode = 0x95}));
  ASSERT_EQ(answer.function_types.size(), 1U);
  EXPECT_EQ(answer.function_types[0].type, 3U);
  EXPECT_THAT(answer.lines, ElementsAre(LineRow{0, {0xc0080000003b7c14}, 4}));
  EXPECT_THAT(answer.regions,
              ElementsAre(RegionAfter{{0xc008000000540000}, {std::byte{7}, std::byte{8}}}));
  EXPECT_EQ(answer.kernel_log, "log");
}

TEST(Exchange, WhatIsCutOffIsNotWhole) {
  const std::vector<std::byte> whole = reply();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const auto cut = read_reply(std::span(whole).first(size), kQuestions, kNonce, kOrder);
    if (size < sizeof(wire::KernelReply)) {
      ASSERT_FALSE(cut) << size;
      EXPECT_EQ(cut.error().code, ErrorCode::machine_bad_answer);
      continue;
    }
    ASSERT_TRUE(cut) << size << cut.error().message;
    EXPECT_FALSE(cut.value().is_whole) << size;
    EXPECT_EQ(cut.value().answers.size(),
              size < whole.size() - sizeof(wire::KernelReply) ? 0U : 1U);
  }
}

TEST(Exchange, AProgramThatAnArrayDoesNotTakeIsOneOfTheQuestions) {
  for (const auto outcome : {wire::KernelOutcome::no_code_of_one, wire::KernelOutcome::not_put}) {
    for (const std::uint32_t program : {0U, 1U, 2U}) {
      std::vector<Question> questions = kQuestions;
      questions[0].targets = {{.slots = {{.opcode = 0x95}}}};
      wire::KernelAnswer answer = {};
      answer.outcome = static_cast<std::uint32_t>(outcome);
      answer.result = program;
      std::vector<std::byte> bytes;
      put(bytes, wire::KernelReply{wire::kReplyBegin, kNonce, 1, 0});
      put(bytes, answer);
      put(bytes, wire::KernelReply{wire::kReplyEnd, kNonce, 1, 0});
      EXPECT_EQ(read_reply(bytes, questions, kNonce, kOrder).has_value(), program < 2) << program;
    }
  }
}

TEST(Exchange, WhatIsNoReplyToThisBatchIsRefused) {
  const std::vector<std::byte> whole = reply();
  const std::vector<Question> two = {kQuestions[0], kQuestions[0]};
  EXPECT_FALSE(read_reply(whole, two, kNonce, kOrder));
  EXPECT_FALSE(read_reply(whole, kQuestions, kNonce + 1, kOrder));
  EXPECT_FALSE(read_reply(reply(kNonce + 1), kQuestions, kNonce, kOrder));
  std::vector<std::byte> more = whole;
  more.push_back({});
  EXPECT_FALSE(read_reply(more, kQuestions, kNonce, kOrder));
  std::vector<Question> other = kQuestions;
  other[0].regions[0].bytes.resize(3);
  EXPECT_FALSE(read_reply(whole, other, kNonce, kOrder));
}

TEST(Exchange, LengthsThatDoNotAddUpAreRefused) {
  std::vector<std::byte> bytes = reply();
  bytes[sizeof(wire::KernelReply) + 16] = std::byte{16};  // code_bytes
  const auto read = read_reply(bytes, kQuestions, kNonce, kOrder);
  ASSERT_FALSE(read);
  EXPECT_THAT(read.error().message, HasSubstr("its functions have 12 bytes, and their code 16"));
}

// Half an instruction: the agent's mistake, not the input's.
TEST(Exchange, AProgramThatIsNoneIsTheAgentsMistake) {
  std::vector<std::byte> bytes = reply();
  bytes[sizeof(wire::KernelReply) + 20] = std::byte{4};  // program_bytes
  const auto read = read_reply(bytes, kQuestions, kNonce, kOrder);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, ErrorCode::machine_bad_answer);
  EXPECT_THAT(read.error().message, HasSubstr("a program in its reply"));
}

TEST(Exchange, ABatchHoldsEachProgramAndItsRegions) {
  const std::vector<Question> questions = {
      {.slots = {{.opcode = 0x95}},
       .regions = {{.bytes = {std::byte{9}}, .writable = false}},
       .mode = wire::KernelMode::interpreter,
       .types = {.btf = {std::byte{5}}, .functions = {{1, 2}}, .lines = {{3, 6}}},
       .as_listed = true}};
  const std::string bytes = text_of(batch(questions, kNonce, kOrder).bytes);
  EXPECT_EQ(bytes, std::string("tabkcraf"
                               "\x21\x43\x65\x87\x78\x56\x34\x12"
                               "\1\0\0\0"
                               "\x82\0\0\0"  // 130 bytes
                               "\1\0\0\0"
                               "\1\0\0\0"
                               "\1\0\0\0"
                               "\0\0\0\0"
                               "\1\0\0\0"
                               "\1\0\0\0"
                               "\1\0\0\0"
                               "\0\0\0\0"
                               "\1\0\0\0"
                               "\0\0\0\0"
                               "\0\0\0\0"
                               "\0\0\0\0"
                               "\x95\0\0\0\0\0\0\0"
                               "\5"
                               "\1\0\0\0\2\0\0\0"
                               "\3\0\0\0\0\0\0\0\0\0\0\0\6\0\0\0"
                               "\1\0\0\0"
                               "\1\0\0\0"
                               "\0\0\0\0"
                               "\0\0\0\0"
                               "\0\0\0\0"
                               "\0\0\0\0"
                               "\x09",
                               24 + 48 + 8 + 1 + 8 + 16 + 24 + 1));
}

TEST(Exchange, ABatchHoldsAsManyAsFit) {
  const auto of_bytes = [](std::size_t size) {
    return Question{.slots = {{.opcode = 0x95}},
                    .regions = {{.bytes = std::vector<std::byte>(size)}}};
  };
  constexpr std::size_t kHalf = wire::kMostBatchBytes / 2;
  const std::vector<Question> three = {of_bytes(kHalf), of_bytes(kHalf - 1000), of_bytes(1000)};
  const Batch two = batch(three, kNonce, kOrder);
  EXPECT_EQ(two.question_count, 2U);
  EXPECT_EQ(two.bytes, batch(std::span(three).first(2), kNonce, kOrder).bytes);
  EXPECT_LE(two.bytes.size(), wire::kMostBatchBytes);
  const std::vector<Question> large = {of_bytes(wire::kMostBatchBytes), of_bytes(1)};
  EXPECT_EQ(batch(large, kNonce, kOrder).question_count, 0U);
}

TEST(Exchange, ABatchHoldsMapsAndProgramsForTailCalls) {
  const std::vector<Question> questions = {
      {.slots = {{.opcode = 0x95}},
       .regions = {{.bytes = {},
                    .map = MapDefinition{.type = wire::KernelMapType::programs,
                                         .value_bytes = 4,
                                         .entries = 2,
                                         .programs = {wire::kNoKernelProgram, 1}}}},
       .context = {std::byte{6}},
       .targets = {{.slots = {{.opcode = 0x07}}, .types = {}}},
       .observer = {{.opcode = 0xbf}}}};
  const std::string bytes = text_of(batch(questions, kNonce, kOrder).bytes);
  EXPECT_EQ(bytes.substr(24 + 36), std::string("\1\0\0\0"  // bytes of context, a target, and slots
                                               "\1\0\0\0"  // of the observer
                                               "\1\0\0\0"
                                               "\x95\0\0\0\0\0\0\0"
                                               "\6"
                                               "\xbf\0\0\0\0\0\0\0"
                                               "\x08\0\0\0"  // the region's bytes
                                               "\0\0\0\0"
                                               "\3\0\0\0"
                                               "\4\0\0\0"
                                               "\4\0\0\0"
                                               "\2\0\0\0"
                                               "\xff\xff\xff\xff"
                                               "\1\0\0\0"
                                               "\1\0\0\0"  // the target's slots
                                               "\0\0\0\0"
                                               "\0\0\0\0"
                                               "\0\0\0\0"
                                               "\7\0\0\0\0\0\0\0",
                                               12 + 8 + 1 + 8 + 24 + 8 + 16 + 8));
}

// An answer about one slot, one function of one word, its type and its line.
void put_program(std::vector<std::byte>& bytes, std::uint64_t address, std::uint32_t regions,
                 std::uint32_t targets) {
  put(bytes, wire::KernelAnswer{.outcome = 0,
                                .error = 0,
                                .result = 5,
                                .function_count = 1,
                                .code_bytes = 4,
                                .program_bytes = 8,
                                .region_count = regions,
                                .log_bytes = 0,
                                .kernel_log_bytes = 0,
                                .line_count = 1,
                                .function_type_count = 1,
                                .target_count = targets});
  put(bytes, function(address, 4, "f"));
  put(bytes, ul32(0x4e800020U));
  const auto exit = bpf::encode(bpf::Slot{.opcode = 0x95}, std::endian::little);
  bytes.insert(bytes.end(), exit.begin(), exit.end());
  put(bytes, ul32(0));
  put(bytes, ul32(kFirstFunctionType));
  put(bytes, wire::KernelLine{.address = address, .slot = 0, .line_and_column = 1U << 10U});
}

TEST(Exchange, WhatIsSaidOfProgramsForTailCallsFollows) {
  const TypeInformation types = {.btf = {std::byte{5}}, .functions = {{0, 3}}, .lines = {{0, 1}}};
  const std::vector<Question> questions = {
      {.slots = {{.opcode = 0x95}},
       .regions = {{.bytes = {},
                    .map = MapDefinition{.type = wire::KernelMapType::programs,
                                         .value_bytes = 4,
                                         .entries = 1,
                                         .programs = {1}}}},
       .types = types,
       .targets = {{.slots = {{.opcode = 0x95}}, .types = types}}}};
  const auto reply_of = [](std::uint32_t targets, std::uint32_t pieces = 2) {
    std::vector<std::byte> bytes;
    put(bytes, wire::KernelReply{wire::kReplyBegin, kNonce, 1, 0});
    put_program(bytes, 0xc008000000001000, 1, targets);
    put(bytes, wire::KernelRegionAfter{.address = 0xc000000005000000,
                                       .byte_count = 0,
                                       .piece_count = pieces,
                                       .values_at = 264,
                                       .reserved = 0});
    put(bytes, wire::KernelPiece{.address = 0xc000000005000000, .byte_count = 2, .reserved = 0});
    put(bytes, std::uint8_t{7});
    put(bytes, std::uint8_t{8});
    if (pieces == 2) {
      put(bytes, wire::KernelPiece{.address = 0xc008000000003000, .byte_count = 1, .reserved = 0});
      put(bytes, std::uint8_t{9});
    }
    if (targets != 0) {
      put_program(bytes, 0xc008000000002000, 0, 0);
    }
    put(bytes, wire::KernelReply{wire::kReplyEnd, kNonce, 1, 0});
    return bytes;
  };
  const auto read = read_reply(reply_of(1), questions, kNonce, kOrder);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_TRUE(read.value().is_whole);
  const Answer& answer = read.value().answers.front();
  ASSERT_EQ(answer.functions.size(), 2U);
  EXPECT_EQ(answer.functions[1].address, (GuestAddress{0xc008000000002000}));
  EXPECT_EQ(answer.program.size(), 2U);
  ASSERT_EQ(answer.function_types.size(), 2U);
  EXPECT_EQ(answer.function_types[1].slot, 1U);
  EXPECT_EQ(answer.function_types[1].type, kFirstFunctionType + 1);
  EXPECT_THAT(answer.lines, ElementsAre(LineRow{0, {0xc008000000001000}, 0},
                                        LineRow{1, {0xc008000000002000}, 1}));
  EXPECT_THAT(answer.programs, ElementsAre(ProgramBegin{0, 0}, ProgramBegin{1, 1}));
  ASSERT_EQ(answer.regions.size(), 1U);
  EXPECT_EQ(answer.regions[0].values_at, 264U);
  EXPECT_THAT(answer.regions[0].pieces,
              ElementsAre(KernelPiece{{0xc000000005000000}, {std::byte{7}, std::byte{8}}},
                          KernelPiece{{0xc008000000003000}, {std::byte{9}}}));

  const auto without = read_reply(reply_of(0), questions, kNonce, kOrder);
  ASSERT_FALSE(without);
  EXPECT_THAT(std::string(without.error().message), HasSubstr("about other programs"));

  const auto with_one_piece = read_reply(reply_of(1, 1), questions, kNonce, kOrder);
  ASSERT_FALSE(with_one_piece);
  EXPECT_THAT(std::string(with_one_piece.error().message), HasSubstr("other regions"));
  std::vector<Question> interpreted = questions;
  interpreted[0].mode = wire::KernelMode::interpreter;
  EXPECT_FALSE(read_reply(reply_of(1), interpreted, kNonce, kOrder));
}

TEST(Exchange, OfAHashTableThereAreWholeElements) {
  const std::vector<Question> questions = {
      {.slots = {{.opcode = 0x95}},
       .regions = {{.bytes = {},
                    .map = MapDefinition{.type = wire::KernelMapType::hash,
                                         .key_bytes = 4,
                                         .value_bytes = 1,
                                         .entries = 2}}}}};
  for (const std::uint32_t size : {0U, 3U, 5U, 9U, 10U}) {
    std::vector<std::byte> bytes;
    put(bytes, wire::KernelReply{wire::kReplyBegin, kNonce, 1, 0});
    put_program(bytes, 0xc008000000001000, 1, 0);
    put(bytes, wire::KernelRegionAfter{.address = 0xc000000005000000,
                                       .byte_count = size,
                                       .piece_count = 0,
                                       .values_at = 0,
                                       .reserved = 0});
    bytes.resize(bytes.size() + size);
    put(bytes, wire::KernelReply{wire::kReplyEnd, kNonce, 1, 0});
    EXPECT_EQ(read_reply(bytes, questions, kNonce, kOrder).has_value(), size % 5 == 0) << size;
  }
}

// What the kernel itself reads is in its byte order, and nothing else.
TEST(Exchange, ABatchForABigEndianKernelHasItsByteOrder) {
  const std::vector<Question> questions = {
      {.slots = {{.opcode = 0x85, .dst = 0, .src = 1, .offset = 2, .imm = 3}},
       .regions = {},
       .types = {.btf = {std::byte{5}}, .functions = {{1, 2}}, .lines = {{3, 6}}}}};
  const std::string bytes = text_of(batch(questions, kNonce, std::endian::big).bytes);
  EXPECT_EQ(bytes, std::string("tabkcraf"
                               "\x21\x43\x65\x87\x78\x56\x34\x12"
                               "\1\0\0\0"
                               "\x69\0\0\0"  // 105 bytes
                               "\1\0\0\0"
                               "\0\0\0\0"
                               "\0\0\0\0"
                               "\0\0\0\0"
                               "\1\0\0\0"
                               "\1\0\0\0"
                               "\1\0\0\0"
                               "\0\0\0\0"
                               "\0\0\0\0"
                               "\0\0\0\0"
                               "\0\0\0\0"
                               "\0\0\0\0"
                               "\x85\1\0\2\0\0\0\3"
                               "\5"
                               "\0\0\0\1\0\0\0\2"
                               "\0\0\0\3\0\0\0\0\0\0\0\0\0\0\0\6",
                               24 + 48 + 8 + 1 + 8 + 16));
}

TEST(Exchange, TheCodeOfABigEndianKernelIsReadInItsByteOrder) {
  std::vector<std::byte> bytes = reply();
  const std::size_t code =
      sizeof(wire::KernelReply) + sizeof(wire::KernelAnswer) + 2 * sizeof(wire::KernelFunction);
  for (std::size_t i = 0; i < 3; ++i) {
    std::reverse(bytes.begin() + static_cast<std::ptrdiff_t>(code + 4 * i),
                 bytes.begin() + static_cast<std::ptrdiff_t>(code + 4 * i + 4));
  }
  const auto read = read_reply(bytes, kQuestions, kNonce, std::endian::big);
  ASSERT_TRUE(read) << read.error().message;
  const Answer& answer = read.value().answers.front();
  EXPECT_THAT(answer.functions[0].words, ElementsAre(0xe84d0010U, 0x60000000U));
  EXPECT_EQ(answer.functions[0].address, (GuestAddress{0xc0080000003b7c10}));
  EXPECT_THAT(answer.program, ElementsAre(bpf::Slot{.opcode = 0x95}));
}

TEST(TypeInformation, IsInTheKernelsByteOrder) {
  const std::vector<bpf::Slot> slots = {{.opcode = 0x95}};
  const std::vector<NamedFunction> functions = {{"f", 0}};
  EXPECT_EQ(text_of(type_information(slots, functions, std::endian::big).btf),
            std::string("\xeb\x9f\1\0"
                        "\0\0\0\x18"
                        "\0\0\0\0"
                        "\0\0\0\x28"
                        "\0\0\0\x28"
                        "\0\0\0\7"
                        "\0\0\0\1\1\0\0\0\0\0\0\4"
                        "\1\0\0\x20"
                        "\0\0\0\0\x0d\0\0\0\0\0\0\1"
                        "\0\0\0\5\x0c\0\0\0\0\0\0\2"
                        "\0int\0f\0",
                        24 + 0x28 + 7));
}

// Documentation/bpf/btf.rst: header, int, prototype, two functions, strings.
TEST(TypeInformation, IsBtfWithALineForEachInstruction) {
  const std::vector<bpf::Slot> slots = {
      {.opcode = 0x18}, {}, {.opcode = 0x95}, {.opcode = 0xb7}, {.opcode = 0x95}};
  const std::vector<NamedFunction> functions = {{"main", 0}, {"2.go", 3}};
  const TypeInformation types = type_information(slots, functions, kOrder);
  EXPECT_EQ(text_of(types.btf), std::string("\x9f\xeb\1\0"
                                            "\x18\0\0\0"
                                            "\0\0\0\0"
                                            "\x34\0\0\0"
                                            "\x34\0\0\0"
                                            "\x10\0\0\0"
                                            "\1\0\0\0\0\0\0\1\4\0\0\0"
                                            "\x20\0\0\1"
                                            "\0\0\0\0\0\0\0\x0d\1\0\0\0"
                                            "\5\0\0\0\0\0\0\x0c\2\0\0\0"
                                            "\x0a\0\0\0\0\0\0\x0c\2\0\0\0"
                                            "\0int\0main\0_2_go\0",
                                            24 + 0x34 + 0x10));
  ASSERT_EQ(types.functions.size(), 2U);
  EXPECT_EQ(types.functions[1].slot, 3U);
  EXPECT_EQ(types.functions[1].type, 4U);
  std::vector<std::uint32_t> lines;
  for (const SourceLine& line : types.lines) {
    lines.push_back(line.slot);
  }
  EXPECT_THAT(lines, ElementsAre(0U, 2U, 3U, 4U));  // not the second half of the first
}

// 128 bytes of a symbol are told, with a zero; the kernel itself refuses names of 512.
TEST(TypeInformation, OfALongNameTheKernelIsToldWhatItsSymbolShows) {
  const std::string most(101, 'a');
  EXPECT_EQ(name_in_c(most), most);
  EXPECT_EQ(name_in_c(most + "b"), most);
  EXPECT_EQ(name_in_c("2" + most), "_2" + most.substr(2));
}

}  // namespace
}  // namespace farcall::kernel::exchange_test
