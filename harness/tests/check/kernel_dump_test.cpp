#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "check/kernel_dump_findings.hpp"

namespace farcall::check::kernel_dump_test {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

// Slot 2 calls; its code is the eight words from 0x1010 on, the last of them the branch.
const std::vector<CallInCode> kCalls = {{.name = "main[0]", .slot = 2, .at = {0x102c}}};

std::vector<KernelLine> lines(std::uint64_t of_call, std::uint64_t after_it) {
  return {{.slot = 0, .address = {0x1000}},
          {.slot = 2, .address = {of_call}},
          {.slot = 3, .address = {after_it}}};
}

TEST(KernelLines, ABranchIsWithinTheCodeOfItsCall) {
  EXPECT_THAT(line_findings(lines(0x1010, 0x1030), kCalls), IsEmpty());
  EXPECT_THAT(line_findings(lines(0x102c, 0x1030), kCalls), IsEmpty());
}

TEST(KernelLines, ARowOfTheInstructionBeforeIsFound) {
  const auto found = line_findings(lines(0x1008, 0x1010), kCalls);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].code, ErrorCode::line_mismatch);
  EXPECT_EQ(found[0].site, "main[0]");
  EXPECT_THAT(found[0].text, HasSubstr("28 bytes before"));
  EXPECT_EQ(line_findings(lines(0x1010, 0x102c), kCalls).size(), 1U);
}

TEST(KernelLines, ARowOfTheInstructionAfterIsFound) {
  const auto found = line_findings(lines(0x1030, 0x1034), kCalls);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_THAT(found[0].text, HasSubstr("the call, slot 2, at or before its branch"));
}

TEST(KernelLines, WithoutRowsNothingIsSaid) {
  EXPECT_THAT(line_findings({}, kCalls), IsEmpty());
}

constexpr KernelSeries k61 = {6, 1};
constexpr KernelSeries k72 = {7, 2};

// A call of function 2, f, which is so far away.
DumpedName call(std::int64_t distance, std::int16_t offset, std::int32_t imm) {
  return {.named = Named::by_call,
          .site = "main[0]",
          .callee = "f",
          .number = 2,
          .distance = distance,
          .number_by_cut = 2,
          .addresses = {},
          .whose = {},
          .offset = offset,
          .imm = imm};
}

std::vector<model::Finding> found_in(const DumpedName& name, bool jit, KernelSeries series) {
  return dump_findings(std::vector{name}, jit, series);
}

TEST(KernelDump, ACallHasItsDistanceAndItsCalleesNumber) {
  EXPECT_THAT(found_in(call(7, 7, 2), true, k61), IsEmpty());
  EXPECT_THAT(found_in(call(7, 7, 2), true, k72), IsEmpty());
  const auto other_callee = found_in(call(7, 7, 1), true, k61);
  ASSERT_EQ(other_callee.size(), 1U);
  EXPECT_EQ(other_callee[0].code, ErrorCode::dump_mismatch);
  EXPECT_EQ(other_callee[0].site, "main[0]");
  EXPECT_THAT(other_callee[0].text, HasSubstr("to have imm 2, the number of f; it has 1"));
  const auto elsewhere = found_in(call(7, 8, 2), true, k61);
  ASSERT_EQ(elsewhere.size(), 1U);
  EXPECT_THAT(elsewhere[0].text, HasSubstr("to have off 7"));
}

TEST(KernelDump, ADistanceOfMoreThan16BitsIsCutOrZeroByVersion) {
  EXPECT_THAT(found_in(call(40'000, -25'536, 2), true, k61), IsEmpty());
  EXPECT_THAT(found_in(call(40'000, 0, 2), true, k61), SizeIs(1));
  DumpedName to_nowhere = call(40'000, -25'536, -2);
  EXPECT_THAT(found_in(to_nowhere, true, k61), SizeIs(1));
  to_nowhere.number_by_cut.reset();
  EXPECT_THAT(found_in(to_nowhere, true, k61), IsEmpty());
  EXPECT_THAT(found_in(call(40'000, 0, 2), true, k72), IsEmpty());
  EXPECT_THAT(found_in(call(40'000, -25'536, 2), true, {7, 3}), SizeIs(1));
}

TEST(KernelDump, WithoutTheJitACallHasAnInterpretersAddress) {
  DumpedName name = call(7, 7, 96);
  EXPECT_THAT(found_in(name, false, k61), IsEmpty());  // nobody knows their addresses
  name.addresses = {64, 96};
  name.whose = "an interpreter";
  EXPECT_THAT(found_in(name, false, k61), IsEmpty());
  name.imm = 2;
  const auto found = found_in(name, false, k72);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_THAT(found[0].text, HasSubstr("the address of an interpreter, 64 or 96; it has 2"));
}

TEST(KernelDump, ALoadOfAnAddressHasTheDistanceAndTheNumber) {
  DumpedName load = call(7, 0, 7);
  load.named = Named::by_pointer;
  load.second_imm = 2;
  EXPECT_THAT(found_in(load, true, k61), IsEmpty());
  load.second_imm = 0;
  EXPECT_THAT(found_in(load, true, k72), SizeIs(1));
  load.second_imm = 2;
  load.offset = 2;
  EXPECT_THAT(found_in(load, true, k72), SizeIs(1));
  // Callbacks need the JIT: without it there are no such loads, and no row.
  load.offset = 0;
  const auto found = found_in(load, false, k72);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_THAT(found[0].text, HasSubstr("not known what stands there"));
}

// Of a kernel that nobody has looked into, nothing can be wrong.
TEST(KernelDump, OfASeriesThatIsNotKnownNothingIsChecked) {
  const DumpedName wrong = call(7, 0, 500);
  for (const KernelSeries known : {k61, KernelSeries{6, 6}, KernelSeries{6, 12}, k72}) {
    EXPECT_TRUE(is_dump_known(known));
    EXPECT_THAT(found_in(wrong, true, known), testing::Not(IsEmpty()));
  }
  for (const KernelSeries unknown :
       {KernelSeries{5, 15}, KernelSeries{6, 13}, KernelSeries{7, 1}}) {
    EXPECT_FALSE(is_dump_known(unknown));
    EXPECT_THAT(found_in(wrong, true, unknown), IsEmpty());
  }
}

TEST(KernelDump, ACallOfAHelperHasItsAddress) {
  DumpedName helper = call(0, 0, 500);
  helper.named = Named::by_number;
  helper.addresses = {500};
  helper.whose = "bpf_loop";
  EXPECT_THAT(found_in(helper, true, k61), IsEmpty());
  EXPECT_THAT(found_in(helper, false, k72), IsEmpty());
  helper.imm = 181;
  EXPECT_THAT(found_in(helper, true, k61), SizeIs(1));
}

}  // namespace
}  // namespace farcall::check::kernel_dump_test
