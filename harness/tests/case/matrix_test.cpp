#include "case/matrix.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support.hpp"

namespace farcall::cases::matrix_test {
namespace {

using testing::ElementsAre;

TEST(CaseMatrix, NothingDeclaredIsOneCellWithTheDefaults) {
  const auto made = good(two_functions("-- result\n1\n"));
  ASSERT_EQ(made.size(), 1U);
  const model::Cell& cell = made[0];
  EXPECT_EQ(cell.name, "test");
  EXPECT_EQ(cell.case_path, "folder/test.case");
  EXPECT_EQ(cell.axes, model::AxisValues{});
  EXPECT_EQ(cell.axes.call, model::CallScheme::table);
  ASSERT_EQ(cell.program->functions.size(), 2U);
  EXPECT_EQ(cell.program->functions[0].name, "main");
  EXPECT_EQ(cell.program->functions[1].name, "callee");
  EXPECT_EQ(cell.program->origins.at(2).line, 5U);
  EXPECT_TRUE(cell.memory.empty());
  EXPECT_THAT(cell.arguments, ElementsAre(0, 0, 0, 0, 0));
  EXPECT_EQ(cell.expected, (model::Expectation{.result = 1, .result_line = 7}));
}

TEST(CaseMatrix, NamesHaveDeclaredAxesInTheOrderOfAxes) {
  const auto made = good(
      "-- matrix\n"
      "guest bare\n"
      "call aux64 imm32\n"
      "endian le\n" +
      two_functions("-- result\n1\n"));
  ASSERT_THAT(names(made), ElementsAre("test@le-aux64-bare", "test@le-imm32-bare"));
  EXPECT_EQ(made[0].axes.call, model::CallScheme::aux64);
  EXPECT_EQ(made[1].axes.call, model::CallScheme::imm32);
  EXPECT_EQ(made[0].program, made[1].program);
}

TEST(CaseMatrix, EveryAxisCanBeNamed) {
  EXPECT_THAT(names(good("-- matrix\nendian le\ncpu power9\nmmu radix\nabi elfv2\ncall imm32\n"
                         "reach abs64\nguest bare\n" +
                         two_functions("-- result\n1\n-- place far\ncallee = text\n"))),
              ElementsAre("test@le-power9-radix-elfv2-imm32-abs64-bare-far"));
}

TEST(CaseMatrix, PlacementsAreTheLastAxis) {
  const auto made = good("-- matrix\ncall imm32 aux64\n" + two_functions("-- place\n"
                                                                         "main = text+64K\n"
                                                                         "-- place near\n"
                                                                         "callee = main+4K\n"
                                                                         "-- place far\n"
                                                                         "callee = vmalloc+1T\n"
                                                                         "-- result\n1\n"));
  ASSERT_THAT(names(made), ElementsAre("test@imm32-near", "test@imm32-far", "test@aux64-near",
                                       "test@aux64-far"));
  EXPECT_EQ(made[0].placement.functions[0].value, 0xc000000000010000U);
  EXPECT_EQ(made[0].placement.functions[1].value, 0xc000000000011000U);
  EXPECT_EQ(made[3].placement.functions[0].value, 0xc000000000010000U);
  EXPECT_EQ(made[3].placement.functions[1].value, 0xc008010000000000U);
}

TEST(CaseMatrix, OneNamedPlacementIsInTheName) {
  EXPECT_THAT(names(good(two_functions("-- place far\ncallee = text\n-- result\n1\n"))),
              ElementsAre("test@far"));
  EXPECT_THAT(names(good(two_functions("-- place\ncallee = text\n-- result\n1\n"))),
              ElementsAre("test"));
}

TEST(CaseMatrix, APlacementCanBeForSomeCellsOnly) {
  const auto made =
      good("-- matrix\ncall imm32 aux64\n" + two_functions("-- place call=imm32\n"
                                                           "callbase = vmalloc\n"
                                                           "-- place near\n"
                                                           "callee = vmalloc+1M\n"
                                                           "-- place far call=aux64\n"
                                                           "callee = text\n"
                                                           "-- place near call=aux64\n"
                                                           "stack = io\n"
                                                           "-- result\n1\n"));
  ASSERT_THAT(names(made), ElementsAre("test@imm32-near", "test@aux64-near", "test@aux64-far"));
  EXPECT_EQ(made[0].placement.call_base.value, 0xc008000000000000U);
  EXPECT_EQ(made[0].placement.stack.value, 0xc000000002000000U);
  EXPECT_EQ(made[1].placement.call_base.value, 0xc000000000100000U);
  EXPECT_EQ(made[1].placement.stack.value, 0xc00a000000000000U);
  EXPECT_EQ(made[2].placement.functions[1].value, 0xc000000000000000U);
}

TEST(CaseMatrix, MemoryIsInTheFirstTwoRegisters) {
  const auto made =
      good(two_functions("-- mem  # a comment\n00 aB\n\n  Ff\n"
                         "-- place\nmem = vmalloc+3M+1\n-- result\n1\n"));
  ASSERT_EQ(made.size(), 1U);
  ASSERT_EQ(made[0].memory.size(), 1U);
  const bpf::MemoryRegion& mem = made[0].memory[0];
  EXPECT_EQ(mem.name, "mem");
  EXPECT_EQ(mem.address.value, 0xc008000000300001U);
  EXPECT_TRUE(mem.writable);
  EXPECT_THAT(mem.bytes, ElementsAre(std::byte{0}, std::byte{0xab}, std::byte{0xff}));
  EXPECT_THAT(made[0].arguments, ElementsAre(0xc008000000300001U, 3U, 0U, 0U, 0U));
}

TEST(CaseMatrix, RegistersOverrideMemory) {
  const auto made = good(two_functions("-- mem\n00\n-- regs\nr5 = -2\nr2=0x10\n-- result\n1\n"));
  ASSERT_EQ(made.size(), 1U);
  EXPECT_THAT(made[0].arguments,
              ElementsAre(0xc000000001000000U, 16U, 0U, 0U, 0xfffffffffffffffeU));
}

TEST(CaseMatrix, ResultsAreIntegersOfAnyKind) {
  const auto result = [](std::string_view text) {
    const auto made = good(two_functions("-- result\n" + std::string{text} + "\n"));
    return made.empty() ? std::nullopt : made[0].expected.result;
  };
  EXPECT_EQ(result("42"), 42U);
  EXPECT_EQ(result("0x2A  # hex"), 42U);
  EXPECT_EQ(result("-1"), 0xffffffffffffffffU);
  EXPECT_EQ(result("-0x8000000000000000"), 0x8000000000000000U);
  EXPECT_EQ(result("18446744073709551615"), 0xffffffffffffffffU);
}

TEST(CaseMatrix, CallsNameSiteCalleeAndCount) {
  const auto made = good(
      "-- asm\n"
      "call local a\n"
      "call local b\n"
      "call local b\n"
      "exit\n"
      "a:\n"
      "call local b\n"
      "exit\n"
      "b:\n"
      "exit\n"
      "-- result\n"
      "0\n"
      "-- calls\n"
      "main[2] b *3\n"
      "main[0] a\n"
      "-- calls call=table\n"
      "a[0] b * 0\n"
      "main[1] b *18446744073709551615\n");
  ASSERT_EQ(made.size(), 1U);
  using Call = model::ExpectedCall;
  EXPECT_THAT(
      made[0].expected.calls,
      ElementsAre(Call{.site = {.function = 0, .ordinal = 2}, .callee = 2, .count = 3, .line = 14},
                  Call{.site = {.function = 0, .ordinal = 0}, .callee = 1, .count = 1, .line = 15},
                  Call{.site = {.function = 1, .ordinal = 0}, .callee = 2, .count = 0, .line = 17},
                  Call{.site = {.function = 0, .ordinal = 1},
                       .callee = 2,
                       .count = 18446744073709551615U,
                       .line = 18}));
}

TEST(CaseMatrix, MemoryAfterIsPieces) {
  const auto made =
      good(two_functions("-- mem\n00 11 22 33 44\n-- result\n1\n"
                         "-- mem-after mem\n0x3: aa bb\n0: 01 # two\n"
                         "-- mem-after mem call=table\n1: 02\n"));
  ASSERT_EQ(made.size(), 1U);
  using Memory = model::ExpectedMemory;
  EXPECT_THAT(
      made[0].expected.memory,
      ElementsAre(Memory{.region = "mem",
                         .offset = 3,
                         .bytes = {std::byte{0xaa}, std::byte{0xbb}},
                         .line = 12},
                  Memory{.region = "mem", .offset = 0, .bytes = {std::byte{1}}, .line = 13},
                  Memory{.region = "mem", .offset = 1, .bytes = {std::byte{2}}, .line = 15}));
}

TEST(CaseMatrix, SelectorsPickOutcomes) {
  const auto made = good("-- matrix\ncall imm32 aux64\n" +
                         two_functions("-- place a\ncallee = text\n"
                                       "-- place b\ncallee = io\n"
                                       "-- place c\ncallee = vmemmap\n"
                                       "-- result place=a\n1\n"
                                       "-- result place=c,b endian=le call=imm32\n2\n"
                                       "-- result call=aux64 place=b,c\n3\n"));
  std::vector<std::uint64_t> results;
  results.reserve(made.size());
  for (const model::Cell& cell : made) {
    results.push_back(cell.expected.result.value_or(0));
  }
  EXPECT_THAT(results, ElementsAre(1, 2, 2, 1, 3, 3));
}

TEST(CaseMatrix, NoByteOfMemoryIsExpectedTwice) {
  const auto first_twice = [](const std::string& pieces) {
    const auto made = load(two_functions("-- mem\n00 11 22 33 44 55 66\n-- result\n1\n" +
                                         ("-- mem-after mem\n" + pieces)));
    return made ? "none" : made.error().message;
  };
  EXPECT_EQ(first_twice("2: aa bb\n0: 01 02\n4: 05\n"), "none");  // they only touch
  EXPECT_EQ(first_twice("2: aa bb\n2: cc\n"), "the byte at 2 is there twice");
  EXPECT_EQ(first_twice("2: aa bb\n3: cc dd\n"), "the byte at 3 is there twice");
  EXPECT_EQ(first_twice("2: aa bb\n0: 01 02 03\n"), "the byte at 2 is there twice");
  EXPECT_EQ(first_twice("3: aa\n5: bb\n0: 00 01 02 03 04 05 06\n"), "the byte at 3 is there twice");
  EXPECT_EQ(first_twice("0: 00 01 02 03 04\n2: aa\n"), "the byte at 2 is there twice");
}

TEST(CaseMatrix, AFailureReplacesAllElse) {
  const auto made = good("-- matrix\ncall imm32 aux64\n-- mem\n00\n" +
                         two_functions("-- result\n1\n"
                                       "-- calls\nmain[0] callee\n"
                                       "-- mem-after mem\n0: 00\n"
                                       "-- fail call=imm32\ncall.out-of-range main[0]\n"));
  ASSERT_EQ(made.size(), 2U);
  EXPECT_EQ(made[0].expected,
            (model::Expectation{
                .failure = model::ExpectedFailure{
                    .code = ErrorCode::call_out_of_range, .site = "main[0]", .line = 17}}));
  EXPECT_EQ(made[1].expected.failure, std::nullopt);
  EXPECT_EQ(made[1].expected.result, 1U);
  EXPECT_EQ(made[1].expected.calls.size(), 1U);
  EXPECT_EQ(made[1].expected.memory.size(), 1U);
}

TEST(CaseMatrix, AFailureNeedsNoSite) {
  const auto made = good(two_functions("-- fail\nguest.budget\n"));
  ASSERT_EQ(made.size(), 1U);
  EXPECT_EQ(made[0].expected.failure,
            (model::ExpectedFailure{.code = ErrorCode::guest_budget, .site = "", .line = 7}));
}

TEST(CaseMatrix, KnownFailuresAreOfTheCellsThatTheyAreFor) {
  const auto made = good("-- matrix\nendian le be\n" +
                         two_functions("-- result\n1\n-- calls\nmain[0] callee\n"
                                       "-- known endian=be\nkernel:6.12* result.mismatch\n"));
  ASSERT_EQ(made.size(), 2U);
  EXPECT_TRUE(made[0].expected.known.empty());
  ASSERT_EQ(made[1].expected.known.size(), 1U);
  EXPECT_EQ(
      made[1].expected.known[0],
      (model::KnownFailure{.jit = "kernel:6.12*", .code = ErrorCode::result_mismatch, .line = 14}));
}

TEST(CaseMatrix, WhatTheVerifierIsToRejectIsSaidOfEachCell) {
  const std::string text =
      "-- matrix\nendian le be\n" + two_functions(
                                        "-- result endian=le\n1\n-- calls\nmain[0] callee\n"
                                        "-- fail endian=be\nguest.budget\n");
  const auto without = good(text);
  const auto made = good(text + "-- verifier\nrejects  stack size is 544.  # or more\n");
  ASSERT_EQ(made.size(), 2U);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(made[i].expected.rejection,
              (model::ExpectedRejection{.text = "stack size is 544.", .line = 16}));
    EXPECT_EQ(made[i].name, without[i].name);
    model::Expectation rest = made[i].expected;
    rest.rejection.reset();
    EXPECT_EQ(rest, without[i].expected);
  }
  EXPECT_EQ(good(text + "-- verifier\nrejects\n")[0].expected.rejection,
            (model::ExpectedRejection{.text = "", .line = 16}));
}

TEST(CaseMatrix, SpoiledCellsComeAfterTheRightOne) {
  const std::string text =
      two_functions("-- result\n1\n-- calls\nmain[0] callee\n-- known\nkernel:* result.mismatch\n");
  const std::string faults = "result-bit result.mismatch\nstray-byte memory.stray-write\n";
  const auto made = good("-- matrix\nendian le be\n" + text + "-- spoiled endian=be\n" + faults);
  ASSERT_EQ(made.size(), 4U);
  EXPECT_FALSE(made[0].control);
  EXPECT_FALSE(made[1].control);
  EXPECT_EQ(made[2].name, made[1].name + "-result-bit");
  EXPECT_EQ(made[3].name, made[1].name + "-stray-byte");
  EXPECT_EQ(
      made[3].control,
      (model::Control{.fault = "stray-byte", .code = ErrorCode::memory_stray_write, .line = 17}));
  // The code is ours, whoever is tested.
  EXPECT_EQ(made[1].expected.known.size(), 1U);
  EXPECT_TRUE(made[2].expected.known.empty());
  EXPECT_EQ(made[2].expected.result, 1U);

  EXPECT_TRUE(good(text + "-- spoiled\n" + faults)[1].name.ends_with("@result-bit"));
  const auto twice = load(text + "-- spoiled\n" + faults + faults);
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().code, ErrorCode::case_syntax);
}

TEST(CaseMatrix, TooManyCellsAreRefused) {
  std::string text = "-- matrix\ncall imm32 aux64\n-- asm\nexit\n-- result\n0\n";
  for (std::size_t i = 0; i < kMaxCells / 2; ++i) {
    text += "-- place p" + std::to_string(i) + "\nmain = text\n";
  }
  EXPECT_EQ(good(text).size(), kMaxCells);
  const auto made = load(text + "-- place last\nmain = text\n");
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, ErrorCode::case_unsupported);
  EXPECT_EQ(made.error().message, "this case has 4098 cells: expected at most 4096");
}

TEST(CaseFile, OrderOfSectionsIsFree) {
  const auto made = good(
      "-- fail call=imm32\ncall.out-of-range main[0]\n"
      "-- calls place=x\nmain[0] callee\n"
      "-- result\n1\n"
      "-- mem-after mem\n0: 01\n"
      "-- place x\ncallee = mem+1M\n"
      "-- mem\n00\n" +
      std::string{kTwoFunctions} + "-- matrix\ncall imm32 aux64\n");
  ASSERT_THAT(names(made), ElementsAre("test@imm32-x", "test@aux64-x"));
}

TEST(CaseFile, SummaryIsTheFirstComment) {
  const auto summary = [](std::string_view text) {
    const auto parsed = parse_case(text, "a.case");
    return parsed ? parsed.value().summary : to_string(parsed.error());
  };
  EXPECT_EQ(summary("\n#  Far callee. \n# More.\n-- asm\nexit\n"), "Far callee.");
  EXPECT_EQ(summary("-- asm\n# Not this one.\nexit\n"), "");
}

TEST(CaseFile, NameIsTheStem) {
  const auto name = [](std::string_view path) {
    const auto parsed = parse_case("-- asm\nexit\n", std::string{path});
    return parsed ? parsed.value().name : to_string(parsed.error());
  };
  EXPECT_EQ(name("cases/reach/far-2p.case"), "far-2p");
  EXPECT_EQ(name("a.b.case"), "a.b");
  EXPECT_EQ(name("plain"), "plain");
}

TEST(CaseFile, LineEndsOfOtherSystemsAreGood) {
  const std::string text =
      "# One.\n-- mem\n00 11\n" + two_functions("-- place far\ncallee = io+64K\n-- result\n1\n");
  std::string with_returns;
  for (const char c : text) {
    with_returns += c == '\n' ? "\r\n" : std::string(1, c);
  }
  const auto expected = good(text);
  const auto made = good(with_returns);
  ASSERT_EQ(made.size(), expected.size());
  EXPECT_EQ(made[0].name, expected[0].name);
  EXPECT_EQ(*made[0].program, *expected[0].program);
  EXPECT_EQ(made[0].placement, expected[0].placement);
  EXPECT_EQ(made[0].memory, expected[0].memory);
  EXPECT_EQ(made[0].expected, expected[0].expected);
  const auto wrong = load("-- asm\r\nexit\r\n-- result\r\nx\r\n");
  ASSERT_FALSE(wrong);
  EXPECT_EQ(to_string(wrong.error().where), "folder/test.case:4:1");
}

TEST(CaseFile, TheLastLineNeedsNoEnd) {
  EXPECT_EQ(good(two_functions("-- result\n1")).size(), 1U);
}

TEST(CaseMatrix, ASweepIsOnePlacementForEachOfItsValues) {
  const auto made =
      good(two_functions("-- place near\n"
                         "callee = callbase+2G+sweep { -4..4 step 4 }\n"
                         "-- place far\n"
                         "callee = io\n"
                         "-- result place=near\n1\n"
                         "-- fail place=far\nguest.fault\n"));
  ASSERT_THAT(names(made), ElementsAre("test@near.m4", "test@near.p0", "test@near.p4", "test@far"));
  EXPECT_EQ(made[0].placement.functions[1].value, 0xc0000000800ffffcU);
  EXPECT_EQ(made[1].placement.functions[1].value, 0xc000000080100000U);
  EXPECT_EQ(made[2].placement.functions[1].value, 0xc000000080100004U);
  EXPECT_TRUE(made[2].expected.result);
  EXPECT_TRUE(made[3].expected.failure);
}

TEST(CaseMatrix, ASweepNeedsNoNamedPlacement) {
  EXPECT_THAT(names(good(two_functions("-- place\ncallee = text+sweep { 0..64K step 64K }\n"
                                       "-- result\n1\n"))),
              ElementsAre("test@p0", "test@p65536"));
  EXPECT_THAT(names(good(two_functions("-- place\ncallee = text+1M+sweep {-4..-4 step 1}\n"
                                       "-- result\n1\n"))),
              ElementsAre("test@m4"));
}

TEST(CaseMatrix, ASweepInCommonLinesIsForEveryPlacement) {
  EXPECT_THAT(names(good(two_functions("-- place\ncallee = text+sweep { 0..4 step 4 }\n"
                                       "-- place a\nmain = io\n-- place b\nmain = vmalloc\n"
                                       "-- result\n1\n"))),
              ElementsAre("test@a.p0", "test@a.p4", "test@b.p0", "test@b.p4"));
}

TEST(CaseMatrix, AddressesAreValuesOfRegistersAndResults) {
  const auto made =
      good(two_functions("-- mem\n00\n-- regs\nr2 = addr(callee)\nr3 = addr(stack)\n"
                         "-- place a\ncallee = text\n-- place b\ncallee = io\n"
                         "-- result place=a\naddr(callee)\n"
                         "-- result place=b\naddr(mem)\n"));
  ASSERT_EQ(made.size(), 2U);
  EXPECT_EQ(made[0].arguments[0], 0xc000000001000000U);
  EXPECT_EQ(made[0].arguments[1], 0xc000000000000000U);
  EXPECT_EQ(made[1].arguments[1], 0xc00a000000000000U);
  EXPECT_EQ(made[1].arguments[2], 0xc000000002000000U);
  EXPECT_EQ(made[0].expected.result, 0xc000000000000000U);
  EXPECT_EQ(made[1].expected.result, 0xc000000001000000U);
}

TEST(CaseMatrix, RawWordsHaveTheOpcodeInTheLowByte) {
  // lddw r1, 0x100000002; call +1; exit; f1: mov r0, r1; exit, laid out by hand.
  const auto made = good(
      "-- raw\n"
      "0x0000000200000118 0x0000000100000000\n"
      "0x0000000100001085   # a comment\n"
      "0x95\n"
      "0x00000000000010bf\n"
      "149\n"
      "-- result\n0x100000002\n"
      "-- calls\nmain[0] f1\n");
  ASSERT_EQ(made.size(), 1U);
  const bpf::Program& program = *made[0].program;
  EXPECT_EQ(program.slots[2], (bpf::Slot{.opcode = 0x85, .src = 1, .imm = 1}));
  EXPECT_EQ(program.slots[4], (bpf::Slot{.opcode = 0xbf, .src = 1}));
  EXPECT_EQ(program.functions,
            (std::vector<bpf::Function>{{"main", 0, 4, true}, {"f1", 4, 6, true}}));
}

TEST(CaseMatrix, DataIsMemoryWithANameAndAPlaceOfItsOwn) {
  const auto made =
      good(two_functions("-- mem\n00\n-- data table ro\n11 22\n33\n-- data log\n44\n"
                         "-- regs\nr3 = addr(table)\nr4 = addr(log)\n"
                         "-- place\nlog = vmalloc+1M\n-- result\n1\n"
                         "-- mem-after log\n0: 44\n-- mem-after table\n2: 33\n"));
  ASSERT_EQ(made.size(), 1U);
  const std::vector<bpf::MemoryRegion>& memory = made[0].memory;
  ASSERT_EQ(memory.size(), 3U);
  EXPECT_EQ(memory[1].name, "table");
  EXPECT_EQ(memory[1].address.value, 0xc000000002800000U);
  EXPECT_EQ(memory[1].bytes, (std::vector{std::byte{0x11}, std::byte{0x22}, std::byte{0x33}}));
  EXPECT_FALSE(memory[1].writable);
  EXPECT_EQ(memory[2].address.value, 0xc008000000100000U);
  EXPECT_TRUE(memory[2].writable);
  EXPECT_EQ(made[0].arguments[2], memory[1].address.value);
  EXPECT_EQ(made[0].arguments[3], memory[2].address.value);
  EXPECT_EQ(made[0].expected.memory[0].region, "log");
  EXPECT_EQ(made[0].expected.memory[1].region, "table");
}

}  // namespace
}  // namespace farcall::cases::matrix_test
