#include "stock/stack_walk.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <memory>
#include <string>
#include <vector>

#include "base/byte_order.hpp"
#include "selection/select.hpp"
#include "tests/program.hpp"

namespace farcall::stock::stack_walk_test {
namespace {

using bpf::Slot;
using testing::ElementsAre;
using testing::ElementsAreArray;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::endian kOrder = std::endian::little;
const std::vector<Frames> kOneWalk = {{{.function = 1, .called = 1}, {}}};

LinuxCell cell_of(bpf::Program program) {
  LinuxCell cell;
  cell.question.slots = program.slots;
  cell.question.regions = {{.bytes = std::vector<std::byte>(4)}};
  cell.cell.program = std::make_shared<const bpf::Program>(std::move(program));
  return cell;
}

// main calls outer, outer calls leaf, which jumps over an instruction to its exit.
LinuxCell three_functions() {
  bpf::Program program;
  program.slots = {
      {.opcode = 0x85, .src = 1, .imm = 1},   // main: call outer
      {.opcode = 0x95},                       // exit
      {.opcode = 0x85, .src = 1, .imm = 1},   // outer: call leaf
      {.opcode = 0x95},                       // exit
      {.opcode = 0xb7, .dst = 0, .imm = 42},  // leaf: r0 = 42
      {.opcode = 0x05, .offset = 1},          // goto exit
      {.opcode = 0xb7, .dst = 0, .imm = 43},  // r0 = 43
      {.opcode = 0x95},                       // exit
  };
  program.functions = {{.name = "main", .begin = 0, .end = 2},
                       {.name = "outer", .begin = 2, .end = 4},
                       {.name = "leaf", .begin = 4, .end = 8}};
  return cell_of(std::move(program));
}

// main has bpf_loop call leaf back.
LinuxCell callback() {
  bpf::Program program;
  program.slots = {
      {.opcode = 0x18, .dst = 2, .src = 4, .imm = 3},  // main: r2 = leaf
      {},
      {.opcode = 0x85, .imm = 181},  // call bpf_loop
      {.opcode = 0x95},              // exit
      {.opcode = 0x95},              // leaf: exit
  };
  program.functions = {{.name = "main", .begin = 0, .end = 4},
                       {.name = "leaf", .begin = 4, .end = 5}};
  return cell_of(std::move(program));
}

// main calls local, which makes a tail call to next.
LinuxCell tail_call() {
  bpf::Program program;
  program.slots = {
      {.opcode = 0x85, .src = 1, .imm = 1},     // main: call local
      {.opcode = 0x95},                         // exit
      {.opcode = 0x85, .imm = bpf::kTailCall},  // local: the tail call
      {.opcode = 0x95},                         // exit
      {.opcode = 0x95},                         // next: exit
  };
  program.functions = {{.name = "main", .begin = 0, .end = 2},
                       {.name = "local", .begin = 2, .end = 4},
                       {.name = "next", .begin = 4, .end = 5, .begins_program = true}};
  LinuxCell cell = cell_of(program);
  cell.question.slots.resize(4);
  cell.question.targets = {{.slots = {{.opcode = 0x95}}}};
  return cell;
}

const std::vector<Slot> kObserved = {
    {.opcode = 0xbf, .dst = 6, .src = 0},            // r6 = r0
    {.opcode = 0x18, .dst = 1, .src = 2, .imm = 1},  // r1 = a zero in the second region
    {.imm = 8},
    {.opcode = 0xb7, .dst = 2, .imm = 1},
    {.opcode = 0x85, .imm = 6},            // bpf_trace_printk
    {.opcode = 0xbf, .dst = 0, .src = 6},  // r0 = r6
    {.opcode = 0x95},
};

std::vector<Slot> and_then(std::vector<Slot> slots, const std::vector<Slot>& more) {
  slots.insert(slots.end(), more.begin(), more.end());
  return slots;
}

TEST(WalkingCopy, EachFunctionThatIsCalledIsObservedBeforeItReturns) {
  const auto copy = walking_copy(three_functions(), kOneWalk, kOrder);
  ASSERT_TRUE(copy) << copy.error().message;
  std::vector<Slot> expected = {
      {.opcode = 0x85, .src = 1, .imm = 1},
      {.opcode = 0x95},                      // main returns to the kernel alone
      {.opcode = 0x85, .src = 1, .imm = 7},  // outer
  };
  expected = and_then(and_then(expected, kObserved), {{.opcode = 0xb7, .dst = 0, .imm = 42},
                                                      {.opcode = 0x05, .offset = 1},
                                                      {.opcode = 0xb7, .dst = 0, .imm = 43}});
  expected = and_then(expected, kObserved);
  const kernel::Question& question = copy.value().question;
  EXPECT_THAT(question.slots, ElementsAreArray(expected));
  ASSERT_EQ(question.types.functions.size(), 3U);
  EXPECT_EQ(question.types.functions[2].slot, 10U);
  EXPECT_THAT(question.types.lines, IsEmpty());
  ASSERT_EQ(question.regions.size(), 2U);
  EXPECT_EQ(question.regions[1].bytes.size(), 16U + 16U * 1024U);
  const auto& observer = question.observer;
  ASSERT_GT(observer.size(), 4U);
  EXPECT_EQ(observer[1], (Slot{.opcode = 0x18, .dst = 7, .src = 2, .imm = 1}));
  EXPECT_EQ(observer[4].offset, std::ssize(observer) - 7);  // a full region: to its end
}

TEST(WalkingCopy, TheAddressOfACallbackMovesWithIt) {
  const auto copy = walking_copy(callback(), kOneWalk, kOrder);
  ASSERT_TRUE(copy) << copy.error().message;
  LinuxCell cell = callback();
  cell.question.slots.pop_back();
  EXPECT_THAT(copy.value().question.slots,
              ElementsAreArray(and_then(cell.question.slots, kObserved)));
}

TEST(WalkingCopy, OfProgramsWithTailCallsEachFunctionIsObserved) {
  const auto copy = walking_copy(tail_call(), kOneWalk, kOrder);
  ASSERT_TRUE(copy) << copy.error().message;
  const kernel::Question& question = copy.value().question;
  std::vector<Slot> expected = {{.opcode = 0x85, .src = 1, .imm = 7}};
  expected = and_then(expected, kObserved);
  expected.push_back({.opcode = 0x85, .imm = bpf::kTailCall});
  EXPECT_THAT(question.slots, ElementsAreArray(and_then(expected, kObserved)));
  ASSERT_EQ(question.targets.size(), 1U);
  EXPECT_THAT(question.targets[0].slots, ElementsAreArray(kObserved));
  EXPECT_EQ(question.targets[0].types.functions.size(), 1U);
}

TEST(WalkingCopy, ThereIsNoneIfNothingReturnsOrAJumpIsTooLong) {
  bpf::Program program;
  program.slots = {{.opcode = 0x95}};
  program.functions = {{.name = "main", .begin = 0, .end = 1}};
  EXPECT_FALSE(walking_copy(cell_of(program), {}, kOrder));

  program.functions.push_back({.name = "far", .begin = 1, .end = 32771});
  program.slots.resize(32771, {.opcode = 0xb7});
  program.slots[1] = {.opcode = 0x05, .offset = 32767};
  program.slots[3] = {.opcode = 0x95};
  const auto copy = walking_copy(cell_of(program), kOneWalk, kOrder);
  ASSERT_FALSE(copy);
  EXPECT_THAT(copy.error().message, HasSubstr("a jump would be too long"));
}

// What the interpreter has under way, of a case for a kernel.
std::vector<Frames> frames_of(const std::string& text) {
  const tests::ScratchFolder folder;
  const auto selected = selection::select_cells({.paths = {folder.write("one.case", text)}});
  EXPECT_TRUE(selected && selected.value().bad.empty()) << text;
  const auto frames = expected_walks(linux_cells(selected.value().documents, {}).front());
  EXPECT_TRUE(frames) << frames.error().message;
  return frames ? frames.value() : std::vector<Frames>{};
}

constexpr FrameUnderWay plain(std::uint32_t function, std::uint32_t call = 0) {
  return {.function = function, .called = function, .call = call};
}

TEST(ExpectedWalks, FunctionsThatAreCalled) {
  EXPECT_THAT(frames_of("-- asm\ncall local f\ncall local g\nexit\nf:\ncall local g\nexit\n"
                        "g:\nmov %r0, 0\nexit\n-- result\n0\n"),
              ElementsAre(Frames{plain(2), plain(1), plain(0)}, Frames{plain(1, 1), plain(0)},
                          Frames{plain(2), plain(0, 1)}));
}

TEST(ExpectedWalks, AsManyAsAreLookedAt) {
  EXPECT_EQ(frames_of("-- asm\nmov %r6, 20\nagain:\ncall local f\nadd %r6, -1\n"
                      "jne %r6, 0, again\nexit\nf:\nmov %r0, 0\nexit\n-- result\n0\n")
                .size(),
            16U);
}

TEST(ExpectedWalks, FunctionsThatAHelperCallsBack) {
  constexpr FrameUnderWay kBack = {.function = 1, .called = 1, .by_helper = true};
  constexpr FrameUnderWay kReturns = {.function = 1, .called = 1, .by_helper = true, .call = 1};
  EXPECT_THAT(frames_of("-- helper 181 loop\n-- asm\nmov %r1, 2\nlddw %r2, local back\nmov %r3, 0\n"
                        "mov %r4, 0\ncall 181\nexit\nback:\ncall local f\nexit\n"
                        "f:\nmov %r0, 0\nexit\n-- result\n2\n"),
              ElementsAre(Frames{plain(2), kBack, plain(0)}, Frames{kReturns, plain(0)},
                          Frames{plain(2), kBack, plain(0)}, Frames{kReturns, plain(0)}));
}

// main calls sub, which makes a tail call to other, and makes one itself then.
TEST(ExpectedWalks, ProgramsThatTailCallsLeadTo) {
  constexpr FrameUnderWay kInSub = {.function = 2, .called = 1};
  constexpr FrameUnderWay kInMain = {.function = 2, .called = 0};
  constexpr FrameUnderWay kSubReturns = {.function = 2, .called = 1, .call = 1};
  constexpr FrameUnderWay kMainReturns = {.function = 2, .called = 0, .call = 1};
  EXPECT_THAT(frames_of("-- regs\nr2 = addr(jumps)\n-- asm\nmov %r6, %r1\nmov %r7, %r2\n"
                        "call local sub\nmov %r1, %r6\nmov %r2, %r7\nmov %r3, 0\ncall 12\nexit\n"
                        "sub:\nmov %r3, 0\ncall 12\nexit\n"
                        "-- program other\ncall local deeper\nexit\n"
                        "deeper:\nmov %r0, 5\nexit\n"
                        "-- array jumps size=1\n0 = other\n-- result\n5\n"),
              ElementsAre(Frames{plain(3), kInSub, plain(0)}, Frames{kSubReturns, plain(0)},
                          Frames{plain(3), kInMain}, Frames{kMainReturns}));
}

constexpr std::uint64_t kFirst = 0xc008000000001000;
constexpr std::uint64_t kSecond = 0xc008000000002000;
constexpr std::uint64_t kThird = 0xc008000000003000;
constexpr std::uint64_t kHelper = 0xc008000000004000;
constexpr std::uint64_t kKernel = 0xc000000000b88f38;
constexpr std::uint64_t kAfter = 4;  // the first call of a function returns so far after its begin
constexpr std::uint64_t kAfterSecond = 8;

std::uint32_t bl(std::uint64_t from, std::uint64_t to) {
  return 0x48000001U | (static_cast<std::uint32_t>(to - from) & 0x03fffffcU);
}

using Walks = std::vector<std::vector<std::uint64_t>>;

// As a kernel answers whose functions call these addresses, in the order of `walks`.
kernel::Answer answer(const std::vector<std::uint64_t>& calls, const Walks& walks) {
  kernel::Answer said{.outcome = wire::KernelOutcome::done};
  std::uint64_t at = kFirst;
  for (const std::uint64_t callee : calls) {
    said.function_types.push_back(
        {.slot = 0,
         .type = kernel::kFirstFunctionType + static_cast<std::uint32_t>(said.functions.size())});
    // The second word calls bpf_trace_printk.
    said.functions.push_back({.address = {at},
                              .symbol = "",
                              .words = {bl(at, callee), bl(at + 4, kHelper), 0x4e800020}});
    at += 0x1000;
  }
  said.regions.resize(2);
  std::vector<std::byte>& bytes = said.regions[1].bytes;
  bytes.resize(16 + 16 * 1024);
  store(bytes.data(), std::uint64_t{walks.size()}, kOrder);
  for (std::size_t i = 0; i < walks.size(); ++i) {
    std::byte* const walk = &bytes[16 + 1024 * i];
    store(walk, std::uint64_t{8 * walks[i].size()}, kOrder);
    for (std::size_t j = 0; j < walks[i].size(); ++j) {
      store(walk + 8 + 8 * j, walks[i][j], kOrder);
    }
  }
  return said;
}

std::string found(const LinuxCell& cell, const std::vector<Frames>& expected,
                  const std::vector<std::uint64_t>& calls, const Walks& walks) {
  const auto copy = walking_copy(cell, expected, kOrder);
  const StackWalk walk = stack_walk(copy.value(), answer(calls, walks), {});
  EXPECT_EQ(walk.unseen, "");
  return walk.findings.empty() ? "" : walk.findings.front().text;
}

const std::vector<std::uint64_t> kNestedCalls = {kSecond, kThird, kHelper};
const Frames kInOuter = {plain(1, 1), plain(0)};
const Frames kInLeaf = {plain(2), plain(1), plain(0)};

TEST(StackWalk, ExactlyTheCallsUnderWay) {
  const auto shown = [](const Frames& expected, const std::vector<std::uint64_t>& walk) {
    return found(three_functions(), {expected}, kNestedCalls, {walk});
  };
  const std::vector<std::uint64_t> leaf = {kKernel, kThird + kAfterSecond, kSecond + kAfter,
                                           kFirst + kAfter, kKernel};
  const std::vector<std::uint64_t> outer = {kKernel, kSecond + kAfterSecond, kFirst + kAfter,
                                            kKernel};
  EXPECT_EQ(shown(kInLeaf, leaf), "");
  EXPECT_EQ(shown(kInOuter, outer), "");
  EXPECT_THAT(shown(kInLeaf, outer), HasSubstr("in outer, where leaf is under way"));
  EXPECT_THAT(shown(kInOuter, leaf), HasSubstr("in leaf, where outer is under way"));
  EXPECT_THAT(shown(kInOuter, {kKernel, kSecond + kAfter, kFirst + kAfter, kKernel}),
              HasSubstr("that is not of bpf_trace_printk"));
  EXPECT_THAT(shown(kInOuter, {kKernel, kSecond + kAfterSecond, kFirst + kAfterSecond, kKernel}),
              HasSubstr("in main, where a call returns that is not of outer"));
  EXPECT_THAT(shown(kInOuter, {kKernel, kSecond + kAfterSecond, kFirst, kKernel}),
              HasSubstr("which no call returns to"));
  EXPECT_THAT(shown(kInOuter, {kKernel, kSecond + kAfterSecond, kKernel}),
              HasSubstr("it does not show main"));
  EXPECT_THAT(shown(kInOuter, {kKernel, kSecond + kAfterSecond, kFirst + kAfter, kFirst + kAfter}),
              HasSubstr("beyond main"));
}

// In the answer main and leaf have a call that the copy has not: of outer's alone the order is known.
TEST(StackWalk, WhichOfTheCallsItIs) {
  const std::vector<std::uint64_t> walk = {kKernel, kSecond + kAfterSecond, kFirst + kAfter};
  EXPECT_THAT(found(three_functions(), {{plain(1, 0), plain(0)}}, kNestedCalls, {walk}),
              HasSubstr("in outer, where call 1 of it returns, and call 0 is under way"));
  EXPECT_EQ(found(three_functions(), {{plain(1, 1), plain(0, 7)}}, kNestedCalls, {walk}), "");
}

TEST(StackWalk, NothingIsBetweenAFunctionAndItsCaller) {
  EXPECT_THAT(found(three_functions(), {kInOuter}, kNestedCalls,
                    {{kKernel, kSecond + kAfterSecond, kKernel, kFirst + kAfter, kKernel}}),
              HasSubstr("in main, where a call returns that is not of outer"));
}

TEST(StackWalk, EachWalkCounts) {
  const std::vector<std::uint64_t> right = {kKernel, kSecond + kAfterSecond, kFirst + kAfter};
  EXPECT_EQ(found(three_functions(), {kInOuter, kInOuter}, kNestedCalls, {right, right}), "");
  EXPECT_THAT(found(three_functions(), {kInOuter, kInOuter}, kNestedCalls,
                    {right, {kKernel, kSecond + kAfterSecond}}),
              HasSubstr("it does not show main"));
  EXPECT_THAT(found(three_functions(), {kInOuter, kInOuter}, kNestedCalls, {right}),
              HasSubstr("there are 1 walks, and 2 returns"));
}

TEST(StackWalk, WhatIsCutOffHasNoEnd) {
  std::vector<std::uint64_t> deep(127, kKernel);
  deep.back() = kSecond + kAfterSecond;
  EXPECT_EQ(found(three_functions(), {kInOuter}, kNestedCalls, {deep}), "");
  deep.erase(deep.begin());
  EXPECT_THAT(found(three_functions(), {kInOuter}, kNestedCalls, {deep}),
              HasSubstr("it does not show main"));
}

TEST(StackWalk, AfterACallbackComesTheCallOfItsHelper) {
  const std::vector<Frames> back = {{{.function = 1, .called = 1, .by_helper = true}, plain(0)}};
  const std::vector<std::uint64_t> by_helper = {kKernel, kSecond + kAfterSecond, kKernel,
                                                kFirst + kAfter};
  const std::vector<std::uint64_t> at_once = {kKernel, kSecond + kAfterSecond, kFirst + kAfter};
  EXPECT_EQ(found(callback(), back, {kHelper, kHelper}, {by_helper}), "");
  EXPECT_THAT(found(callback(), back, {kHelper, kHelper}, {at_once}),
              HasSubstr("that is not of leaf"));
  // The verifier may put a loop in place of the helper.
  EXPECT_EQ(found(callback(), back, {kSecond, kHelper}, {at_once}), "");
  // What nobody gave to a helper.
  EXPECT_THAT(found(callback(), {kInOuter}, {kHelper, kHelper}, {by_helper}),
              HasSubstr("that is not of leaf"));
}

TEST(StackWalk, WhoMadeATailCallIsGone) {
  const std::vector<std::uint64_t> calls = {kSecond, kHelper, kHelper};
  const std::vector<Frames> expected = {{{.function = 2, .called = 1}, plain(0)}};
  EXPECT_EQ(found(tail_call(), expected, calls,
                  {{kKernel, kThird + kAfterSecond, kFirst + kAfter, kKernel}}),
            "");
  EXPECT_THAT(found(tail_call(), expected, calls, {{kKernel, kThird + kAfterSecond, kKernel}}),
              HasSubstr("it does not show main"));
  EXPECT_THAT(found(tail_call(), expected, {kThird, kHelper, kHelper},
                    {{kKernel, kThird + kAfterSecond, kFirst + kAfter, kKernel}}),
              HasSubstr("in main, where a call returns that is not of local"));
}

// Of main, outer and leaf it has main and leaf.
TEST(StackWalk, TheVerifierMayHaveTakenAFunctionAway) {
  const auto copy = walking_copy(three_functions(), {{plain(2), plain(0)}}, kOrder);
  kernel::Answer said = answer({kSecond, kHelper}, {{kSecond + kAfterSecond, kFirst + kAfter}});
  said.function_types[1].type = kernel::kFirstFunctionType + 2;
  EXPECT_THAT(stack_walk(copy.value(), said, {}).findings, IsEmpty());
  store(&said.regions[1].bytes[16 + 16], kFirst + kAfterSecond, kOrder);
  const StackWalk walk = stack_walk(copy.value(), said, {});
  ASSERT_EQ(walk.findings.size(), 1U);
  EXPECT_THAT(walk.findings[0].text, HasSubstr("that is not of leaf"));
}

TEST(StackWalk, AHelperThatFailsIsAFinding) {
  const auto copy = walking_copy(three_functions(), {kInLeaf}, kOrder);
  kernel::Answer said = answer(kNestedCalls, {{}});
  store(&said.regions[1].bytes[16], ~std::uint64_t{13}, kOrder);
  const StackWalk walk = stack_walk(copy.value(), said, {});
  ASSERT_EQ(walk.findings.size(), 1U);
  EXPECT_THAT(walk.findings.front().text, HasSubstr("fails with -14"));
}

TEST(StackWalk, ACopyThatIsTheEndOfTheKernelIsTheCodes) {
  const auto copy = walking_copy(three_functions(), {kInLeaf}, kOrder);
  const StackWalk walk =
      stack_walk(copy.value(), Error{.code = ErrorCode::jit_crashed, .message = "Oops"}, {});
  ASSERT_EQ(walk.findings.size(), 1U);
  EXPECT_EQ(walk.findings.front().code, ErrorCode::jit_crashed);
}

// A walk that nobody saw is not an agreement: it says so.
TEST(StackWalk, WhereNoneIsSeenItSaysWhy) {
  const auto copy = walking_copy(three_functions(), {kInLeaf}, kOrder);
  const auto unseen = [&](const kernel::Answered& answered) {
    const StackWalk walk = stack_walk(copy.value(), answered, {});
    EXPECT_THAT(walk.findings, IsEmpty());
    return walk.unseen;
  };
  EXPECT_THAT(unseen(Error{.code = ErrorCode::machine_lost, .message = "the machine is lost"}),
              HasSubstr("the machine is lost"));
  kernel::Answer said = answer(kNestedCalls, {});
  said.function_types[2].type += 1;
  EXPECT_THAT(unseen(said), HasSubstr("does not say which functions it has"));
  said.function_types.pop_back();
  EXPECT_THAT(unseen(said), HasSubstr("does not say which functions it has"));
  said.functions.clear();
  EXPECT_THAT(unseen(said), HasSubstr("made no code of it"));
  said.outcome = wire::KernelOutcome::rejected;
  EXPECT_THAT(unseen(said), HasSubstr("verifier rejects it"));
}

}  // namespace
}  // namespace farcall::stock::stack_walk_test
