#include "bpf/program.hpp"

#include <gtest/gtest.h>

#include "bpf/instruction_range.hpp"
#include "build.hpp"

namespace farcall::bpf::program_test {
namespace {

constexpr std::string_view kText = R"(
lddw %r1, 0x8500000085
call local one
call local two
exit
one:
call local one
exit
two:
exit
)";

TEST(Program, PseudoCallsAreNumberedWithinTheirFunction) {
  const std::vector<PseudoCall> expected = {
      {.site = {.function = 0, .ordinal = 0}, .slot = 2, .callee = 1},
      {.site = {.function = 0, .ordinal = 1}, .slot = 3, .callee = 2},
      {.site = {.function = 1, .ordinal = 0}, .slot = 5, .callee = 1}};
  EXPECT_EQ(pseudo_calls(valid_program_of(kText)), expected);
}

// kText begins with a load, which takes two slots.
TEST(Program, InstructionsBeginAtTheirFirstSlots) {
  const Program program = valid_program_of(kText);
  const auto slots = [](const InstructionRange& range) {
    std::vector<SlotIndex> all;
    for (const SlotIndex at : range) {
      all.push_back(at);
    }
    return all;
  };
  EXPECT_EQ(slots(instructions(program)), (std::vector<SlotIndex>{0, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(slots(instructions(program, program.functions[0])),
            (std::vector<SlotIndex>{0, 2, 3, 4}));
  EXPECT_EQ(slots(instructions(program, program.functions[1])), (std::vector<SlotIndex>{5, 6}));
  // A load whose second half is missing is the last instruction.
  EXPECT_EQ(slots(instructions(std::span(program.slots).first(1))), (std::vector<SlotIndex>{0}));
}

// The second slot of a 64-bit load can look like a call.
TEST(Program, TheSecondSlotOfALoadIsNoCall) {
  Program program = valid_program_of("lddw %r1, 1\nexit\n");
  program.slots[1].opcode = 0x85;
  program.slots[1].src = 1;
  EXPECT_TRUE(pseudo_calls(program).empty());
}

TEST(Program, NamesAndPlacesOfFunctions) {
  const Program program = valid_program_of(kText);
  EXPECT_EQ(to_string(program, {.function = 0, .ordinal = 1}), "main[1]");
  EXPECT_EQ(to_string(program, {.function = 2, .ordinal = 0}), "two[0]");
  EXPECT_EQ(function_named(program, "two"), 2);
  EXPECT_EQ(function_named(program, "three"), std::nullopt);
  EXPECT_EQ(function_at(program, 0), 0);
  EXPECT_EQ(function_at(program, 4), 0);
  EXPECT_EQ(function_at(program, 5), 1);
  EXPECT_EQ(function_at(program, 7), 2);
  EXPECT_EQ(function_at(program, 8), std::nullopt);
  EXPECT_EQ(function_at({}, 0), std::nullopt);
}

}  // namespace
}  // namespace farcall::bpf::program_test
