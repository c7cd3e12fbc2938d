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

// main calls outer, outer calls leaf, which jumps over an instruction to its exit.
LinuxCell three_functions() {
  bpf::Program program;
  program.slots = {
      {.opcode = 0x85, .src = 1, .imm = 1},                 // main: call outer
      {.opcode = 0x95},                                     // exit
      {.opcode = 0x7b, .dst = 10, .src = 1, .offset = -8},  // outer: [r10-8] = r1
      {.opcode = 0x85, .src = 1, .imm = 1},                 // call leaf
      {.opcode = 0x95},                                     // exit
      {.opcode = 0xb7, .dst = 0, .imm = 42},                // leaf: r0 = 42
      {.opcode = 0x05, .offset = 1},                        // goto exit
      {.opcode = 0xb7, .dst = 0, .imm = 43},                // r0 = 43
      {.opcode = 0x95},                                     // exit
  };
  program.functions = {{.name = "main", .begin = 0, .end = 2},
                       {.name = "outer", .begin = 2, .end = 5},
                       {.name = "leaf", .begin = 5, .end = 9}};
  LinuxCell cell;
  cell.question.slots = program.slots;
  cell.question.regions = {{.bytes = std::vector<std::byte>(4)}};
  cell.cell.program = std::make_shared<const bpf::Program>(std::move(program));
  return cell;
}

TEST(WalkingCopy, HandsTheContextOnAndWalksBeforeALeafReturns) {
  const auto copy = walking_copy(three_functions());
  ASSERT_TRUE(copy) << copy.error().message;
  const std::vector<Slot> expected = {
      {.opcode = 0x7b, .dst = 10, .src = 1, .offset = -8},  // main keeps its context
      {.opcode = 0x79, .dst = 5, .src = 10, .offset = -8},  // and hands it on
      {.opcode = 0x85, .src = 1, .imm = 1},
      {.opcode = 0x95},
      {.opcode = 0x7b, .dst = 10, .src = 5, .offset = -16},  // outer, below its own
      {.opcode = 0x7b, .dst = 10, .src = 1, .offset = -8},
      {.opcode = 0x79, .dst = 5, .src = 10, .offset = -16},
      {.opcode = 0x85, .src = 1, .imm = 1},
      {.opcode = 0x95},
      {.opcode = 0x7b, .dst = 10, .src = 5, .offset = -8},  // leaf
      {.opcode = 0xb7, .dst = 0, .imm = 42},
      {.opcode = 0x05, .offset = 1},  // to the walk
      {.opcode = 0xb7, .dst = 0, .imm = 43},
      {.opcode = 0xbf, .dst = 6, .src = 0},                 // r6 = r0
      {.opcode = 0x79, .dst = 1, .src = 10, .offset = -8},  // r1 = context
      {.opcode = 0x18, .dst = 2, .src = 2, .imm = 1},       // r2 = the second region
      {},
      {.opcode = 0xb7, .dst = 3, .imm = 512},
      {.opcode = 0xb7, .dst = 4},
      {.opcode = 0x85, .imm = 67},  // bpf_get_stack
      {.opcode = 0x18, .dst = 1, .src = 2, .imm = 1},
      {.imm = 512},
      {.opcode = 0x7b, .dst = 1, .src = 0},  // what it returned
      {.opcode = 0xbf, .dst = 0, .src = 6},
      {.opcode = 0x95},
  };
  EXPECT_THAT(copy.value().question.slots, ElementsAreArray(expected));
  ASSERT_EQ(copy.value().question.regions.size(), 2U);
  EXPECT_EQ(copy.value().question.regions[1].bytes.size(), 520U);
}

TEST(WalkingCopy, ThereIsNoneOfAFunctionThatMayTakeAnR5) {
  LinuxCell cell = three_functions();
  cell.question.slots[7] = {.opcode = 0xbf, .dst = 0, .src = 5};  // r0 = r5
  const auto copy = walking_copy(cell);
  ASSERT_FALSE(copy);
  EXPECT_THAT(copy.error().message, HasSubstr("leaf may take an r5"));
  cell.question.slots[7] = {.opcode = 0xb7, .dst = 5};  // r5 = 0
  EXPECT_TRUE(walking_copy(cell));
}

TEST(WalkingCopy, ThereIsNoneOfAProgramThatCallsNothing) {
  LinuxCell cell;
  bpf::Program program;
  program.slots = {{.opcode = 0x95}};
  program.functions = {{.name = "main", .begin = 0, .end = 1}};
  cell.question.slots = program.slots;
  cell.cell.program = std::make_shared<const bpf::Program>(std::move(program));
  EXPECT_FALSE(walking_copy(cell));
}

constexpr std::uint64_t kMain = 0xc008000000001000;
constexpr std::uint64_t kOuter = 0xc008000000002000;
constexpr std::uint64_t kLeaf = 0xc008000000003000;

std::uint32_t bl(std::uint64_t from, std::uint64_t to) {
  return 0x48000001U | (static_cast<std::uint32_t>(to - from) & 0x03fffffcU);
}

// As a kernel answers that stored these addresses; each function is a call and a blr.
kernel::Answer answer(const std::vector<std::uint64_t>& stored, std::int64_t returned) {
  kernel::Answer said{.outcome = wire::KernelOutcome::done};
  said.functions = {
      {.address = {kMain}, .symbol = "", .words = {bl(kMain, kOuter), 0x4e800020}},
      {.address = {kOuter}, .symbol = "", .words = {bl(kOuter, kLeaf), 0x4e800020}},
      {.address = {kLeaf}, .symbol = "", .words = {bl(kLeaf, kLeaf + 0x1000), 0x4e800020}}};
  said.regions.resize(2);
  std::vector<std::byte>& bytes = said.regions[1].bytes;
  bytes.resize(520);
  for (std::size_t i = 0; i < stored.size(); ++i) {
    store(&bytes[8 * i], stored[i], std::endian::little);
  }
  store(&bytes[512], static_cast<std::uint64_t>(returned), std::endian::little);
  return said;
}

std::string found(const std::vector<std::uint64_t>& stored) {
  const auto copy = walking_copy(three_functions());
  const StackWalk walk = stack_walk(copy.value(), answer(stored, 48), {});
  EXPECT_EQ(walk.unseen, "");
  return walk.findings.empty() ? "" : walk.findings.front().text;
}

constexpr std::uint64_t kKernel = 0xc000000000b88f38;

TEST(StackWalk, ExactlyTheCallsUnderWay) {
  EXPECT_EQ(found({kLeaf + 4, 0, kOuter + 4, kMain + 4, kKernel}), "");
  EXPECT_THAT(found({kLeaf + 4, 0, kMain + 4, kKernel}), HasSubstr("that is not of leaf"));
  EXPECT_THAT(found({kOuter + 4, kMain + 4, kKernel}), HasSubstr("that is not of bpf_get_stack"));
  EXPECT_THAT(found({kLeaf + 4, 0, kOuter + 4, kKernel}), HasSubstr("it ends in outer"));
  EXPECT_THAT(found({kLeaf + 4, 0, kOuter, kMain + 4}), HasSubstr("which no call returns to"));
  EXPECT_THAT(found({kKernel}), HasSubstr("no function of the program"));
}

TEST(StackWalk, AHelperThatFailsIsAFinding) {
  const auto copy = walking_copy(three_functions());
  const StackWalk walk = stack_walk(copy.value(), answer({}, -14), {});
  ASSERT_EQ(walk.findings.size(), 1U);
  EXPECT_THAT(walk.findings.front().text, HasSubstr("fails with -14"));
}

TEST(StackWalk, ACopyThatIsTheEndOfTheKernelIsTheCodes) {
  const auto copy = walking_copy(three_functions());
  const StackWalk walk =
      stack_walk(copy.value(), Error{.code = ErrorCode::jit_crashed, .message = "Oops"}, {});
  ASSERT_EQ(walk.findings.size(), 1U);
  EXPECT_EQ(walk.findings.front().code, ErrorCode::jit_crashed);
}

// A walk that nobody saw is not an agreement: it says so.
TEST(StackWalk, WhereNoneIsSeenItSaysWhy) {
  const auto copy = walking_copy(three_functions());
  const auto unseen = [&](const kernel::Answered& answered) {
    const StackWalk walk = stack_walk(copy.value(), answered, {});
    EXPECT_THAT(walk.findings, IsEmpty());
    return walk.unseen;
  };
  EXPECT_THAT(unseen(Error{.code = ErrorCode::machine_lost, .message = "the machine is lost"}),
              HasSubstr("the machine is lost"));
  kernel::Answer said = answer({}, 0);
  EXPECT_THAT(unseen(said), HasSubstr("has returned"));
  said.functions.pop_back();
  EXPECT_THAT(unseen(said), HasSubstr("has taken a function away"));
  said.outcome = wire::KernelOutcome::rejected;
  EXPECT_THAT(unseen(said), HasSubstr("verifier rejects it"));
}

}  // namespace
}  // namespace farcall::stock::stack_walk_test
