// `farcall conformance`: our own files in the suite's dialect, and the sample of the suite where it
// is at hand.
#include "conformance/conformance.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>
#include <string>

#include "tests/farcall_process.hpp"
#include "tests/paths.hpp"

namespace farcall::run::conformance_test {
namespace {

using namespace tests;

using testing::HasSubstr;

std::filesystem::path own_files() {
  return cases_folder() / "conformance";
}

// A row of the table: how many files passed, were refused, are consistent, failed, are not
// applicable, are errors.
std::string row(const std::string& way, const std::vector<int>& counts) {
  return fmt::format("{:28}{:16}\n", way, fmt::join(counts, ""));
}

TEST(Conformance, OurFilesComeToWhatTheySay) {
  const Finished run = run_farcall({"conformance", own_files().string()});
  EXPECT_EQ(run.exit_code, 0) << run.out;
  EXPECT_THAT(run.out, HasSubstr("15 files"));
  // Pass, refused, consistent. One file's program is refused, one faults in the interpreter and is
  // not run on the CPU, and one's result is a little-endian machine's.
  EXPECT_THAT(run.out, HasSubstr(row("little-endian interpreter", {14, 1, 0, 0, 0, 0})));
  EXPECT_THAT(run.out, HasSubstr(row("little-endian JIT", {13, 2, 0, 0, 0, 0})));
  EXPECT_THAT(run.out, HasSubstr(row("big-endian interpreter", {13, 1, 1, 0, 0, 0})));
  EXPECT_THAT(run.out, HasSubstr(row("big-endian JIT", {12, 2, 1, 0, 0, 0})));
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
  EXPECT_THAT(run.out, HasSubstr(row("big-endian JIT", {40, 0, 0, 0, 0, 0})));
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
  EXPECT_THAT(
      run.out,
      HasSubstr("neither farcall nor the suite has that function: main+1: there is no helper 6"));
  EXPECT_THAT(run.out, HasSubstr("malformed.data:2:1: error: there is no instruction 'move'"));
  EXPECT_THAT(run.out, HasSubstr("no-outcome.data"));
  EXPECT_THAT(run.out, HasSubstr("not applicable  " + scratch.path().string() + "/matrix.data"));
  EXPECT_THAT(run.out, HasSubstr("5 files"));
}

// What `farcall conformance` makes of one file.
Finished conformance_of(const std::string& text, const std::vector<std::string>& options = {}) {
  const ScratchFolder scratch;
  std::vector<std::string> arguments = {"conformance", scratch.write("file.data", text)};
  arguments.insert(arguments.end(), options.begin(), options.end());
  return run_farcall(arguments);
}

void expect_all_pass(const Finished& run, const std::string& text) {
  EXPECT_EQ(run.exit_code, 0) << text << run.out << run.err;
  for (const char* way : {"little-endian interpreter", "little-endian JIT",
                          "big-endian interpreter", "big-endian JIT"}) {
    EXPECT_THAT(run.out, HasSubstr(row(way, {1, 0, 0, 0, 0, 0}))) << text;
  }
}

// Everything that the suite's own reader takes and a .case file may not have.
TEST(Conformance, FilesAreReadAsTheSuiteReadsThem) {
  const std::string one = "-- asm\nmov %r0, 1\nexit\n-- result\n1\n";
  for (const std::string& text : {
           "# a control character \x7f here\n" + one,
           std::string("--asm\nmov %r0, 1 # and \x01 here\nexit\n  -- result  # of it\n1\n"),
           std::string("-- result\n7\n-- asm\nmov %r0, 1\nexit\n-- result\n5\n\n1\n"),
           std::string("-- asm\nnobody reads this\n-- raw\n0x00000001000000b7 149\n-- result\n1\n"),
           std::string("-- mem\n0xAA 0x1\n-- mem\n3\n-- asm\nldxb %r0, [%r1+1]\nldxb %r1, [%r1+2]\n"
                       "sub %r1, 2\nmul %r0, %r1\nexit\n-- result\n1\n"),
           std::string("-- mem\n-- asm\r\nmov %r0, 1\r\nexit\r\n-- result\r\n1\r\n"),
           "nobody reads this\n" + one,
       }) {
    const Finished run = conformance_of(text);
    expect_all_pass(run, text);
  }
}

TEST(Conformance, AndNoMoreLeniently) {
  for (const char* const text :
       {"-- asm\nmov %r0, 1\x7f\nexit\n-- result\n1\n",
        "-- asm\nexit\n-- asm\nexit\n-- result\n0\n",
        "-- mem\n0x100\n-- asm\nmov %r0, 0\nexit\n-- result\n0\n",
        "-- mem\nfar\n-- asm\nmov %r0, 0\nexit\n-- result\n0\n",
        "-- pyelf\nx\n-- asm\nmov %r0, 0\nexit\n-- error\nx\n", "-- asm\nmov %r0, 0\nexit\n"}) {
    const Finished run = conformance_of(text);
    EXPECT_EQ(run.exit_code, 2) << text << run.out;
    EXPECT_THAT(run.out, HasSubstr("ERROR")) << text;
  }
}

// A refusal by reader, validator or a fault, whatever stands around the section.
TEST(Conformance, AnErrorIsExpectedInItsWords) {
  const std::string unknown = "there is no instruction 'move'";
  for (const std::string& text :
       {"-- error\n" + unknown + "\n-- asm\nmove %r0, 1\nexit\n",
        "-- asm\nmove %r0, 1\nexit\n-- error   # as here\n# or here\n" + unknown + "  # and here\n",
        "-- asm\r\nmove %r0, 1\r\nexit\r\n-- error\r\n" + unknown + "\r\n",
        std::string("-- raw\n0xff\n0x95\n-- error\nmain+0: opcode 0xff is not supported\n")}) {
    const Finished run = conformance_of(text);
    EXPECT_EQ(run.exit_code, 0) << text << run.out;
    EXPECT_THAT(run.out, HasSubstr("refused         ")) << text;
    EXPECT_THAT(run.out, HasSubstr("as expected, before it ran")) << text;
    // Nothing ran: nothing passed.
    EXPECT_THAT(run.out, HasSubstr(row("little-endian JIT", {0, 1, 0, 0, 0, 0})));
  }
  const Finished other =
      conformance_of("-- raw\n0xff\n0x95\n-- error\nunknown opcode 0xff at PC 0\n");
  EXPECT_EQ(other.exit_code, 1);
  EXPECT_THAT(other.out,
              HasSubstr("expected the error 'unknown opcode 0xff at PC 0'; seen: main+0: "
                        "opcode 0xff is not supported"));
}

TEST(Conformance, AFaultIsARefusalIfItsWordsAreExpected) {
  const std::string program = "-- asm\nldxb %r0, [%r1-1]\nexit\n-- error\n";
  const Finished other = conformance_of(program + "something else\n");
  EXPECT_EQ(other.exit_code, 1) << other.out;
  const std::string seen = "seen: ";
  const std::size_t at = other.out.find(seen);
  ASSERT_NE(at, std::string::npos) << other.out;
  const std::string words =
      other.out.substr(at + seen.size(), other.out.find('\n', at) - at - seen.size());
  const Finished run = conformance_of(program + words + "\n");
  EXPECT_EQ(run.exit_code, 0) << run.out;
  EXPECT_THAT(run.out, HasSubstr(row("little-endian interpreter", {1, 0, 0, 0, 0, 0})));
  EXPECT_THAT(run.out, HasSubstr(row("little-endian JIT", {0, 1, 0, 0, 0, 0})));
  EXPECT_THAT(run.out, HasSubstr("the CPU did not run it"));
}

// r10 is elsewhere in the interpreter than on the CPU: they disagree, and nobody has refused it.
TEST(Conformance, ADisagreementIsNoRefusal) {
  const Finished run = conformance_of("-- asm\nmov %r0, %r10\nexit\n-- error\nanything\n");
  EXPECT_EQ(run.exit_code, 1) << run.out;
  EXPECT_THAT(run.out, HasSubstr("FAIL"));
  EXPECT_THAT(run.out, HasSubstr("expected the error 'anything'; "));
  // Neither is a program that runs to its end, or one that never does.
  EXPECT_EQ(conformance_of("-- asm\nmov %r0, 1\nexit\n-- error\nr0 = 0x1\n").exit_code, 1);
  const Finished endless = conformance_of("-- asm\nl:\nja l\n-- error\nanything\n");
  EXPECT_EQ(endless.exit_code, 1) << endless.out;
}

TEST(Conformance, WaysAreSelectedAndReported) {
  const std::string one = "-- asm\ncall local f\nexit\nf:\nmov %r0, 1\nexit\n-- result\n1\n";
  const Finished jit =
      conformance_of(one, {"--filter", "*jit", "--where", "endian=be", "--format", "json"});
  EXPECT_EQ(jit.exit_code, 0) << jit.out << jit.err;
  EXPECT_THAT(jit.out, HasSubstr("file@be-jit"));
  EXPECT_THAT(jit.out, testing::Not(HasSubstr("file@le-jit")));
  EXPECT_THAT(jit.out, testing::Not(HasSubstr("interpreter\"")));
  const Finished far = conformance_of(one, {"--cpu", "power10", "--placement", "far", "--where",
                                            "cpu=power10", "--format", "json"});
  EXPECT_EQ(far.exit_code, 0) << far.out << far.err;
  EXPECT_THAT(far.out, HasSubstr("c000000040100000"));  // where the callee was placed and reached
  const Finished none = conformance_of(one, {"--where", "cpu=power8"});
  EXPECT_EQ(none.exit_code, 2);
  EXPECT_THAT(none.err, HasSubstr("no way of 1 files is selected"));
}

// What did not run is not a pass in a report either.
TEST(Conformance, ARefusalIsASkipInReports) {
  const ScratchFolder scratch;
  const std::string report = (scratch.path() / "report.tap").string();
  const Finished run =
      conformance_of("-- raw\n0xff\n0x95\n-- error\nmain+0: opcode 0xff is not supported\n",
                     {"--format", "tap", "--output", report});
  EXPECT_EQ(run.exit_code, 0) << run.out;
  EXPECT_THAT(run.out, HasSubstr("1 files"));
  EXPECT_THAT(tests::contents(report),
              HasSubstr("ok 1 - file@le-interpreter # SKIP as expected, before it ran"));
  EXPECT_THAT(tests::contents(report), testing::Not(HasSubstr("not ok")));
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
