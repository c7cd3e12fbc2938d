#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "check/kernel_dump_findings.hpp"

namespace farcall::check::kernel_dump_test {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

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

TEST(KernelDump, ACallHasItsCalleesNumber) {
  EXPECT_THAT(dump_findings(std::vector<DumpedCall>{{.name = "main[0]", .callee = 2, .imm = 2}}),
              IsEmpty());
  const auto found =
      dump_findings(std::vector<DumpedCall>{{.name = "main[0]", .callee = 2, .imm = 1}});
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].code, ErrorCode::dump_mismatch);
  EXPECT_THAT(found[0].text, HasSubstr("to be 2, the number of the function"));
}

}  // namespace
}  // namespace farcall::check::kernel_dump_test
