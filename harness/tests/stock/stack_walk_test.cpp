#include "stock/stack_walk.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <memory>
#include <string>
#include <vector>

#include "base/byte_order.hpp"

namespace farcall::stock::stack_walk_test {
namespace {

using bpf::Slot;
using testing::ElementsAreArray;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::endian kOrder = std::endian::little;

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

// The array has next and main. main makes a tail call itself, or calls a function that does.
LinuxCell tail_call(bool by_local) {
  bpf::Program program;
  program.slots = {
      {.opcode = 0x85, .src = 1, .imm = 1},                    // main: call local
      {.opcode = 0x95},                                        // exit
      {.opcode = 0x85, .imm = by_local ? bpf::kTailCall : 7},  // local: a tail call
      {.opcode = 0x95},                                        // exit
      {.opcode = 0x95},                                        // next: exit
  };
  if (!by_local) {
    program.slots[1] = {.opcode = 0x85, .imm = bpf::kTailCall};
  }
  program.functions = {{.name = "main", .begin = 0, .end = 2},
                       {.name = "local", .begin = 2, .end = 4},
                       {.name = "next", .begin = 4, .end = 5, .begins_program = true}};
  LinuxCell cell = cell_of(program);
  cell.question.slots.resize(4);
  cell.question.regions[0].map = {
      .type = wire::KernelMapType::programs, .entries = 2, .programs = {1, 0}};
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
  const auto copy = walking_copy(three_functions(), kOrder);
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
  const auto copy = walking_copy(callback(), kOrder);
  ASSERT_TRUE(copy) << copy.error().message;
  LinuxCell cell = callback();
  cell.question.slots.pop_back();
  EXPECT_THAT(copy.value().question.slots,
              ElementsAreArray(and_then(cell.question.slots, kObserved)));
}

TEST(WalkingCopy, OfProgramsWithTailCallsEachFunctionIsObserved) {
  const auto copy = walking_copy(tail_call(true), kOrder);
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

TEST(WalkingCopy, ThereIsNoneOfAProgramOfOneFunctionOrWithTooLongAJump) {
  bpf::Program program;
  program.slots = {{.opcode = 0x95}};
  program.functions = {{.name = "main", .begin = 0, .end = 1}};
  EXPECT_FALSE(walking_copy(cell_of(program), kOrder));

  program.functions.push_back({.name = "far", .begin = 1, .end = 32771});
  program.slots.resize(32771, {.opcode = 0xb7});
  program.slots[1] = {.opcode = 0x05, .offset = 32767};
  program.slots[3] = {.opcode = 0x95};
  const auto copy = walking_copy(cell_of(program), kOrder);
  ASSERT_FALSE(copy);
  EXPECT_THAT(copy.error().message, HasSubstr("a jump would be too long"));
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

std::string found(const LinuxCell& cell, const std::vector<std::uint64_t>& calls,
                  const Walks& walks) {
  const auto copy = walking_copy(cell, kOrder);
  const StackWalk walk = stack_walk(copy.value(), answer(calls, walks), {});
  EXPECT_EQ(walk.unseen, "");
  return walk.findings.empty() ? "" : walk.findings.front().text;
}

const std::vector<std::uint64_t> kNestedCalls = {kSecond, kThird, kHelper};

TEST(StackWalk, ExactlyTheCallsUnderWay) {
  const auto shown = [](const std::vector<std::uint64_t>& walk) {
    return found(three_functions(), kNestedCalls, {walk});
  };
  EXPECT_EQ(shown({kKernel, kThird + kAfterSecond, kSecond + kAfter, kFirst + kAfter, kKernel}),
            "");
  EXPECT_EQ(shown({kKernel, kSecond + kAfterSecond, kFirst + kAfter, kKernel}), "");
  EXPECT_THAT(shown({kKernel, kThird + kAfterSecond, kFirst + kAfter, kKernel}),
              HasSubstr("that is not of leaf"));
  EXPECT_THAT(shown({kKernel, kSecond + kAfter, kFirst + kAfter, kKernel}),
              HasSubstr("that is not of bpf_trace_printk"));
  EXPECT_THAT(shown({kKernel, kThird + kAfterSecond, kSecond + kAfter, kKernel}),
              HasSubstr("it ends in outer"));
  EXPECT_THAT(shown({kKernel, kThird + kAfterSecond, kSecond, kFirst + kAfter, kKernel}),
              HasSubstr("which no call returns to"));
  EXPECT_THAT(shown({kKernel}), HasSubstr("no function of the program"));
}

TEST(StackWalk, NothingIsBetweenAFunctionAndItsCaller) {
  EXPECT_THAT(found(three_functions(), kNestedCalls,
                    {{kKernel, kThird + kAfterSecond, kKernel, kSecond + kAfter, kFirst + kAfter,
                      kKernel}}),
              HasSubstr("in outer, where a call returns that is not of leaf"));
}

TEST(StackWalk, EachWalkCounts) {
  const std::vector<std::uint64_t> right = {kKernel, kSecond + kAfterSecond, kFirst + kAfter};
  EXPECT_EQ(found(three_functions(), kNestedCalls, {right, right}), "");
  EXPECT_THAT(found(three_functions(), kNestedCalls, {right, {kKernel, kSecond + kAfterSecond}}),
              HasSubstr("it ends in outer"));
}

TEST(StackWalk, WhatIsCutOffHasNoEnd) {
  std::vector<std::uint64_t> deep(127, kKernel);
  deep.back() = kSecond + kAfterSecond;
  EXPECT_EQ(found(three_functions(), kNestedCalls, {deep}), "");
  deep.pop_back();
  EXPECT_THAT(found(three_functions(), kNestedCalls, {deep}),
              HasSubstr("no function of the program"));
}

TEST(StackWalk, AfterACallbackComesTheCallOfItsHelper) {
  const std::vector<std::uint64_t> calls = {kHelper, kHelper};
  EXPECT_EQ(found(callback(), calls,
                  {{kKernel, kSecond + kAfterSecond, kKernel, kFirst + kAfter, kKernel}}),
            "");
  EXPECT_THAT(
      found(callback(), calls, {{kKernel, kSecond + kAfterSecond, kFirst + kAfter, kKernel}}),
      HasSubstr("that is not of leaf"));
  // A helper that main gives no function.
  EXPECT_THAT(found(three_functions(), kNestedCalls,
                    {{kKernel, kSecond + kAfterSecond, kKernel, kFirst + kAfterSecond, kKernel}}),
              HasSubstr("that is not of outer"));
}

TEST(StackWalk, WhoMadeATailCallIsGone) {
  const std::vector<std::uint64_t> calls = {kSecond, kHelper, kHelper};
  const std::vector<std::uint64_t> next_alone = {kKernel, kThird + kAfterSecond, kKernel};
  const std::vector<std::uint64_t> under_main = {kKernel, kThird + kAfterSecond, kFirst + kAfter,
                                                 kKernel};
  EXPECT_EQ(found(tail_call(false), calls, {next_alone}), "");
  EXPECT_THAT(found(tail_call(false), calls, {under_main}),
              HasSubstr("that is not of a function that makes a tail call to next"));
  EXPECT_EQ(found(tail_call(true), calls, {under_main}), "");
  EXPECT_THAT(found(tail_call(true), calls, {next_alone}), HasSubstr("it ends in next"));
  // Once more, from main to itself.
  EXPECT_EQ(
      found(tail_call(true), calls, {{kKernel, kFirst + kAfterSecond, kFirst + kAfter, kKernel}}),
      "");
  // No array has that program.
  LinuxCell cell = tail_call(true);
  cell.question.regions[0].map->programs = {0};
  EXPECT_THAT(found(cell, calls, {under_main}), HasSubstr("that is not of a function"));
}

// Of main, outer and leaf it has main and leaf.
TEST(StackWalk, TheVerifierMayHaveTakenAFunctionAway) {
  const auto copy = walking_copy(three_functions(), kOrder);
  kernel::Answer said = answer({kSecond, kHelper}, {{kSecond + kAfterSecond, kFirst + kAfter}});
  said.function_types[1].type = kernel::kFirstFunctionType + 2;
  EXPECT_THAT(stack_walk(copy.value(), said, {}).findings, IsEmpty());
  store(&said.regions[1].bytes[16 + 16], kFirst + kAfterSecond, kOrder);
  const StackWalk walk = stack_walk(copy.value(), said, {});
  ASSERT_EQ(walk.findings.size(), 1U);
  EXPECT_THAT(walk.findings[0].text, HasSubstr("that is not of leaf"));
}

TEST(StackWalk, AHelperThatFailsIsAFinding) {
  const auto copy = walking_copy(three_functions(), kOrder);
  kernel::Answer said = answer(kNestedCalls, {{}});
  store(&said.regions[1].bytes[16], ~std::uint64_t{13}, kOrder);
  const StackWalk walk = stack_walk(copy.value(), said, {});
  ASSERT_EQ(walk.findings.size(), 1U);
  EXPECT_THAT(walk.findings.front().text, HasSubstr("fails with -14"));
}

TEST(StackWalk, ACopyThatIsTheEndOfTheKernelIsTheCodes) {
  const auto copy = walking_copy(three_functions(), kOrder);
  const StackWalk walk =
      stack_walk(copy.value(), Error{.code = ErrorCode::jit_crashed, .message = "Oops"}, {});
  ASSERT_EQ(walk.findings.size(), 1U);
  EXPECT_EQ(walk.findings.front().code, ErrorCode::jit_crashed);
}

// A walk that nobody saw is not an agreement: it says so.
TEST(StackWalk, WhereNoneIsSeenItSaysWhy) {
  const auto copy = walking_copy(three_functions(), kOrder);
  const auto unseen = [&](const kernel::Answered& answered) {
    const StackWalk walk = stack_walk(copy.value(), answered, {});
    EXPECT_THAT(walk.findings, IsEmpty());
    return walk.unseen;
  };
  EXPECT_THAT(unseen(Error{.code = ErrorCode::machine_lost, .message = "the machine is lost"}),
              HasSubstr("the machine is lost"));
  kernel::Answer said = answer(kNestedCalls, {});
  EXPECT_THAT(unseen(said), HasSubstr("has returned"));
  said.function_types[2].type += 1;
  EXPECT_THAT(unseen(said), HasSubstr("does not say which functions it has"));
  said.function_types.pop_back();
  EXPECT_THAT(unseen(said), HasSubstr("does not say which functions it has"));
  said.outcome = wire::KernelOutcome::rejected;
  EXPECT_THAT(unseen(said), HasSubstr("verifier rejects it"));
}

}  // namespace
}  // namespace farcall::stock::stack_walk_test
