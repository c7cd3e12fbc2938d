// `farcall run --bless`: files are changed only to what interpreter and CPU agree on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/farcall_process.hpp"

namespace farcall::run::bless_test {
namespace {

using namespace tests;

using testing::HasSubstr;

constexpr const char* kWrong =
    "-- matrix\n"
    "endian le be\n"
    "-- asm\n"
    "call local callee\n"
    "exit\n"
    "callee:\n"
    "mov %r0, 42\n"
    "exit\n"
    "-- place far   # two placements, one of which has a sweep\n"
    "callee = text+1G+sweep { 0..8 step 8 }\n"
    "-- place far-2p\n"
    "callee = text+64M\n"
    "-- calls place=far\n"
    "main[0] callee *2\n"
    "-- calls place=far-2p   # ends as the other one is called\n"
    "main[0] callee   # once\n"
    "-- result   # the answer\n"
    "007\n";

TEST(Bless, ShowsAndWritesWhatTheWitnessesAgreeOn) {
  const ScratchFolder scratch;
  const std::string path = scratch.write("far.case", kWrong);
  const Finished run = run_farcall({"run", path, "--bless"});
  EXPECT_EQ(run.exit_code, 0) << run.out << run.err;
  EXPECT_EQ(run.out, "--- " + path + "\n+++ " + path +
                         ", blessed\n"
                         "@@ -14 +14 @@\n-main[0] callee *2\n+main[0] callee\n"
                         "@@ -18 +18 @@\n-007\n+0x2a\n");
  EXPECT_EQ(run_farcall({"run", path}).exit_code, 0);
  const std::string text = tests::contents(path);
  const Finished again = run_farcall({"run", path, "--bless"});
  EXPECT_EQ(again.exit_code, 0);
  EXPECT_EQ(again.out, "");
  EXPECT_EQ(tests::contents(path), text);
}

TEST(Bless, LeavesAloneWhatReallyFails) {
  const ScratchFolder scratch;
  // One of the four schemes cannot say where the callee is.
  const std::string text =
      "-- matrix\ncall imm32 table\n-- asm\ncall local f\nexit\nf:\nmov %r0, 1\nexit\n-- "
      "place\nmain = "
      "text+64K\nf = vmalloc+64K\n-- calls\nmain[0] f\n-- result\n1\n";
  const std::string path = scratch.write("far.case", text);
  const Finished run = run_farcall({"run", path, "--bless"});
  EXPECT_EQ(run.exit_code, 1) << run.out;
  EXPECT_THAT(run.out, HasSubstr("far.case: not blessed: far@imm32 does not pass"));
  EXPECT_EQ(tests::contents(path), text);
}

TEST(Bless, LeavesAloneASectionThatIsForCellsOfDifferentResults) {
  const ScratchFolder scratch;
  const std::string text =
      "-- matrix\nendian le be\n-- mem\n01 02\n-- asm\nldxh %r0, [%r1]\nexit\n-- result\n7\n";
  const std::string path = scratch.write("order.case", text);
  const Finished run = run_farcall({"run", path, "--bless"});
  EXPECT_EQ(run.exit_code, 1) << run.out;
  EXPECT_THAT(run.out, HasSubstr("order.case: not blessed: order@le"));
  EXPECT_THAT(run.out, HasSubstr("need sections of their own"));
  EXPECT_EQ(tests::contents(path), text);
}

TEST(Bless, TheGoodFileBesideABadOneIsBlessed) {
  const ScratchFolder scratch;
  scratch.write("bad.case", "-- frob\n");
  const std::string good = scratch.write("good.case", "-- asm\nmov %r0, 3\nexit\n-- result\n4\n");
  const Finished run = run_farcall({"run", scratch.path().string(), "--bless"});
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.err, HasSubstr("case.unknown-section"));
  EXPECT_THAT(tests::contents(good), HasSubstr("-- result\n0x3\n"));
}

TEST(Bless, IsForWholeFiles) {
  EXPECT_EQ(run_farcall({"run", "a.case", "--bless", "--filter", "a"}).exit_code, 2);
  EXPECT_EQ(run_farcall({"run", "a.case", "--bless", "--format", "json"}).exit_code, 2);
}

}  // namespace
}  // namespace farcall::run::bless_test
