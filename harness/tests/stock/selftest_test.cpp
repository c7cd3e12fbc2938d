#include "stock/selftest.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/farcall_process.hpp"

namespace farcall::stock::selftest_test {
namespace {

using namespace tests;

using kernel::KernelTest;
using model::Outcome;
using testing::AllOf;
using testing::HasSubstr;

KernelTest said(unsigned number, KernelTest::Said word, std::optional<bool> jited = true) {
  return {.number = number,
          .description = "ALU: 1 + 2",
          .jited = jited,
          .said = word,
          .words = "#1 ALU: 1 + 2 …"};
}

kernel::SuiteRun ended(std::vector<KernelTest> tests, unsigned passed, unsigned failed) {
  return {.log = {.tests = std::move(tests),
                  .summary = kernel::SuiteLog::Summary{.passed = passed, .failed = failed}},
          .has_ended = true,
          .error = failed == 0 ? 0U : 22U,
          .trouble = {},
          .last_lines = "the end"};
}

std::vector<std::string> told(const kernel::SuiteRun& run,
                              wire::KernelMode mode = wire::KernelMode::jit) {
  std::vector<std::string> lines;
  for (const SelftestCell& cell : selftest_cells("test_bpf", mode, run)) {
    std::string line = cell.cell.name + " " + std::string(name(cell.verdict.outcome));
    for (const model::Finding& finding : cell.verdict.findings) {
      line += " " + std::string(name(finding.code));
    }
    lines.push_back(line);
  }
  return lines;
}

using Said = KernelTest::Said;

TEST(SelftestCells, EachTestIsOneAndSoIsTheSuite) {
  EXPECT_THAT(
      told(ended({said(0, Said::pass), said(1, Said::fail), said(2, Said::pass, {})}, 2, 1)),
      testing::ElementsAre("test_bpf-0-ALU-1-2@linux-jit pass",
                           "test_bpf-1-ALU-1-2@linux-jit fail kernel.test-failed",
                           "test_bpf-2-ALU-1-2@linux-jit pass", "test_bpf@linux-jit pass"));
}

TEST(SelftestCells, OneThatIsMissingFails) {
  EXPECT_THAT(told(ended({said(0, Said::pass), said(2, Said::pass)}, 2, 0)),
              testing::ElementsAre("test_bpf-0-ALU-1-2@linux-jit pass",
                                   "test_bpf-1@linux-jit fail kernel.test-missing",
                                   "test_bpf-2-ALU-1-2@linux-jit pass", "test_bpf@linux-jit pass"));
  EXPECT_EQ(told(ended({said(0, Said::pass)}, 2, 0)).back(),
            "test_bpf@linux-jit fail kernel.test-missing");
  EXPECT_EQ(told(ended({}, 0, 0)).back(), "test_bpf@linux-jit fail kernel.test-missing");
}

TEST(SelftestCells, CodeIsMadeWhereItShouldBe) {
  EXPECT_EQ(told(ended({said(0, Said::pass, false)}, 1, 0)).front(),
            "test_bpf-0-ALU-1-2@linux-jit skip jit.declined");
  EXPECT_EQ(told(ended({said(0, Said::pass, true)}, 1, 0), wire::KernelMode::interpreter).front(),
            "test_bpf-0-ALU-1-2@linux-interpreter fail jit.refused");
}

TEST(SelftestCells, AModuleThatDoesNotEndFailsWithItsLog) {
  kernel::SuiteRun hung = ended({said(0, Said::pass), said(1, Said::nothing)}, 0, 0);
  hung.has_ended = false;
  hung.log.summary.reset();
  EXPECT_THAT(told(hung),
              testing::ElementsAre("test_bpf-0-ALU-1-2@linux-jit pass",
                                   "test_bpf-1-ALU-1-2@linux-jit fail kernel.test-missing",
                                   "test_bpf@linux-jit fail kernel.test-missing"));
  hung.trouble = "Oops: Kernel access of bad area, sig: 11 [#1]";
  const auto cells = selftest_cells("test_bpf", wire::KernelMode::jit, hung);
  EXPECT_EQ(cells.back().verdict.findings.front().code, ErrorCode::jit_crashed);
  EXPECT_THAT(cells.back().verdict.findings.front().text,
              AllOf(HasSubstr("Oops: Kernel access"), HasSubstr("the end")));
}

TEST(SelftestCells, AModuleThatTheKernelDoesNotTakeFails) {
  kernel::SuiteRun refused = ended({}, 0, 0);
  refused.log.summary.reset();
  refused.error = ENOEXEC;
  const auto cells = selftest_cells("test_bpf", wire::KernelMode::jit, refused);
  ASSERT_EQ(cells.size(), 1U);
  EXPECT_THAT(cells.front().verdict.findings.front().text, HasSubstr("Exec format error"));
}

// The real kernel, the shortest suites.
TEST(Selftest, TheKernelsOwnModuleIsRun) {
  const Finished run = run_farcall({"kernel", "selftest", "--suite", "test_tail_calls", "--suite",
                                    "test_skb_segment", "--format", "junit"});
  EXPECT_EQ(run.exit_code, 0) << run.out << run.err;
  EXPECT_THAT(run.out,
              AllOf(HasSubstr("name=\"test_tail_calls-0-Tail-call-leaf@linux-jit\""),
                    HasSubstr("name=\"test_tail_calls-0-Tail-call-leaf@linux-interpreter\""),
                    HasSubstr("name=\"test_skb_segment@linux-jit\""), HasSubstr("failures=\"0\"")));
}

TEST(Selftest, AKernelOfTheUsersNeedsItsModules) {
  const ScratchFolder folder;
  const std::string vmlinux = folder.write("vmlinux", "none");
  EXPECT_EQ(run_farcall({"kernel", "selftest", "--kernel", vmlinux}).exit_code, 2);
  const Finished other =
      run_farcall({"kernel", "selftest", "--kernel", "6.1", "--modules", folder.path().string()});
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_THAT(other.err, HasSubstr("there is no module test_bpf in " + folder.path().string()));
}

}  // namespace
}  // namespace farcall::stock::selftest_test
