// `farcall conformance`: our own files in the suite's dialect, and the sample of the suite where it
// is at hand.
#include "conformance/conformance.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>
#include <string>

#include "tests/paths.hpp"
#include "tests/run/farcall_process.hpp"

namespace farcall::run::conformance_test {
namespace {

using testing::HasSubstr;

std::filesystem::path own_files() {
  return cases_folder() / "conformance";
}

TEST(Conformance, OurFilesComeToWhatTheySay) {
  const Finished run = run_farcall({"conformance", own_files().string()});
  EXPECT_EQ(run.exit_code, 0) << run.out;
  EXPECT_THAT(run.out, HasSubstr("15 files"));
  // One file's error text is another runtime's, and another's result a little-endian machine's.
  EXPECT_THAT(run.out, HasSubstr("little-endian interpreter                 14               1"));
  EXPECT_THAT(run.out, HasSubstr("little-endian JIT                         14               1"));
  EXPECT_THAT(run.out, HasSubstr("big-endian interpreter                    13               2"));
  EXPECT_THAT(run.out, HasSubstr("big-endian JIT                            13               2"));
  EXPECT_THAT(run.out, HasSubstr("doubleword-order.data (big-endian interpreter, big-endian JIT)\n"
                                 "                expected 0x807060504030201; r0 = "
                                 "0x102030405060708, in interpreter and CPU alike"));
}

// With all 40 files hand-derived where they depend on the byte order, none is merely consistent.
TEST(Conformance, TheSampleWhereItIs) {
  const auto sample = tests::source_dir() / "../shared/conformance-sample";
  if (!std::filesystem::exists(sample)) {
    GTEST_SKIP() << "an addition: the test above does not need it";
  }
  const Finished run = run_farcall({"conformance", sample.string()});
  EXPECT_EQ(run.exit_code, 0) << run.out;
  EXPECT_THAT(run.out, HasSubstr("\n40 files"));
  EXPECT_THAT(run.out, HasSubstr("big-endian JIT                            40"));
}

TEST(Conformance, AWrongExpectationFailsInEveryWay) {
  const ScratchFolder scratch;
  const std::string file = scratch.write("wrong.data", "-- asm\nmov %r0, 1\nexit\n-- result\n2\n");
  const Finished run = run_farcall({"conformance", file});
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.out, HasSubstr("wrong.data (little-endian interpreter, little-endian JIT)\n"
                                 "                expected 0x2; r0 = 0x1\n"));
  // Nothing is said of big-endian machines, but interpreter and CPU agree there.
  EXPECT_THAT(run.out, HasSubstr("consistent"));
}

TEST(Conformance, AFaultIsNoResult) {
  const ScratchFolder scratch;
  const std::string file =
      scratch.write("fault.data", "-- asm\nldxb %r0, [%r1-1]\nexit\n-- result\n0\n");
  const Finished run = run_farcall({"conformance", file});
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.out, HasSubstr("load of 1 byte"));
}

TEST(Conformance, NothingIsSkippedInSilence) {
  const ScratchFolder scratch;
  scratch.write("good.data", "-- asm\nmov %r0, 1\nexit\n-- result\n1\n");
  scratch.write("malformed.data", "-- asm\nmove %r0, 1\nexit\n-- result\n1\n");
  scratch.write("no-outcome.data", "-- asm\nmov %r0, 1\nexit\n");
  scratch.write("matrix.data", "-- matrix\nendian be\n-- asm\nmov %r0, 1\nexit\n-- result\n1\n");
  scratch.write("helper.data", "-- asm\nmov %r1, 1\n call 6\nexit\n-- result\n1\n");
  const Finished run = run_farcall({"conformance", scratch.path().string()});
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.out, HasSubstr("neither it nor the suite has it: main+1: there is no helper 6"));
  EXPECT_THAT(run.out, HasSubstr("malformed.data:2:1: error: there is no instruction 'move'"));
  EXPECT_THAT(run.out, HasSubstr("no-outcome.data"));
  EXPECT_THAT(run.out, HasSubstr("not applicable  " + scratch.path().string() + "/matrix.data"));
  EXPECT_THAT(run.out, HasSubstr("5 files"));
}

TEST(Conformance, AnEmptySelectionIsAnError) {
  const ScratchFolder scratch;
  EXPECT_EQ(run_farcall({"conformance", scratch.path().string()}).exit_code, 2);
  EXPECT_EQ(run_farcall({"conformance"}).exit_code, 2);
  EXPECT_EQ(run_farcall({"conformance", scratch.path().string() + "/none.data"}).exit_code, 2);
}

TEST(Conformance, WithoutQemuTheHarnessFailed) {
  const Finished run = run_farcall({"conformance", own_files().string()}, "/nonexistent");
  EXPECT_EQ(run.exit_code, 3);
  EXPECT_THAT(run.out, HasSubstr("qemu-system-ppc64"));
  const Finished bench = run_farcall({"bench", "--programs", "10"}, "/nonexistent");
  EXPECT_EQ(bench.exit_code, 3);
  EXPECT_THAT(bench.err, HasSubstr("[machine.no-qemu]"));
}

TEST(Conformance, FilesOfWhichNoneCanBeRunAreAnError) {
  const ScratchFolder scratch;
  scratch.write("helper.data", "-- asm\ncall 6\nexit\n-- result\n1\n");
  const Finished run = run_farcall({"conformance", scratch.path().string()});
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.err, HasSubstr("none of 1 files can be run [usage.nothing-selected]"));
}

TEST(Conformance, TheOverlayGivesAReasonForEachFile) {
  std::set<std::string_view> files;
  for (const conformance::OverlayRow& row : conformance::overlay()) {
    EXPECT_TRUE(files.insert(row.file).second) << row.file;
    EXPECT_NE(row.little, row.big) << row.file;
    EXPECT_FALSE(row.reason.empty()) << row.file;
  }
}

}  // namespace
}  // namespace farcall::run::conformance_test
