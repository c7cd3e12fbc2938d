// Cells in a guest that runs a stock kernel: what becomes of each.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "model/json.hpp"
#include "selection/select.hpp"
#include "stock/capture.hpp"
#include "stock/linux_cells.hpp"
#include "tests/farcall_process.hpp"
#include "tests/stock/stock_guest.hpp"

namespace farcall::stock::linux_guest_test {
namespace {

using namespace tests;

using model::Json;
using testing::AllOf;
using testing::HasSubstr;

// The program may be one that farcall itself cannot end: nothing of it is run.
LinuxCell cell_to_be_rejected() {
  const ScratchFolder folder;
  const auto selected = selection::select_cells(
      {.paths = {folder.write("endless.case",
                              "-- asm\ncall local main\nexit\n-- fail\ninterpreter.call-depth\n"
                              "-- verifier\nrejects last insn is not an exit\n")}});
  EXPECT_TRUE(selected && selected.value().bad.empty());
  return linux_cells(selected.value().documents, {}).front();
}

Captured captured_rejection(const LinuxCell& cell, wire::KernelOutcome outcome,
                            const std::string& log, const std::string& kernel_log = {}) {
  kernel::Answer answer;
  answer.outcome = outcome;
  answer.error = EINVAL;
  answer.log = log;
  answer.kernel_log = kernel_log;
  return captured(cell, wire::KernelMode::jit, answer, {.name = "k"});
}

TEST(Rejection, IsWhatTheCellIsAbout) {
  using enum wire::KernelOutcome;
  const LinuxCell cell = cell_to_be_rejected();
  ASSERT_FALSE(cell.skipped) << cell.skipped->message;
  const std::string log = "last insn is not an exit or jmp\nprocessed 0 insns\n";
  const Captured passed = captured_rejection(cell, rejected, log);
  EXPECT_FALSE(passed.skipped || passed.document);
  EXPECT_THAT(passed.findings, testing::IsEmpty());
  EXPECT_THAT(
      passed.notes,
      testing::ElementsAre(
          "as expected, the kernel's verifier rejects it: last insn is not an exit or jmp"));

  const auto is_mismatch =
      testing::ElementsAre(testing::Field(&model::Finding::code, ErrorCode::verifier_mismatch));
  EXPECT_THAT(captured_rejection(cell, done, "").findings, is_mismatch);
  EXPECT_THAT(captured_rejection(cell, not_run, "").findings, is_mismatch);
  EXPECT_THAT(captured_rejection(cell, rejected, "R6 !read_ok\n").findings, is_mismatch);
  EXPECT_THAT(captured_rejection(cell, rejected, "").findings, is_mismatch);
  EXPECT_THAT(
      captured_rejection(cell, rejected, log, "WARNING: CPU: 0 PID: 1 at x.c:68\n").findings,
      testing::ElementsAre(testing::Field(&model::Finding::code, ErrorCode::jit_warned)));
  EXPECT_TRUE(captured_rejection(cell, no_memory, "").skipped);  // it was not asked
}

TEST(LinuxGuest, ACaseMayExpectThatTheVerifierRejectsItsProgram) {
  const ScratchFolder folder;
  const std::string accepted = "-- asm\nmov %r0, 1\nexit\n-- result\n1\n-- verifier\nrejects\n";
  const std::string rejected = "-- asm\nmov %r0, %r6\nexit\n-- result none\n-- verifier\nrejects";
  (void)folder.write("accepted.case", accepted);
  (void)folder.write("otherwise.case", rejected + " R7 !read_ok\n");
  (void)folder.write("rejected.case", rejected + " R6 !read_ok\n");
  const std::string deep = (cases_folder() / "abi/frames-beyond-512-bytes.case").string();
  const Finished run = run_farcall({"run", folder.path().string(), deep, "--guest", "linux",
                                    "--kernel", kKernel, "--format", "json"});
  EXPECT_EQ(run.exit_code, 1) << run.err;
  std::map<std::string, std::string> expected;
  for (const std::string mode : {"jit", "interpreter", "hardened"}) {
    expected["accepted@linux-" + mode] = "fail";
    expected["otherwise@linux-" + mode] = "fail";
    expected["rejected@linux-" + mode] = "pass";
    expected["frames-beyond-512-bytes@linux-" + mode] = "pass";
  }
  EXPECT_EQ(outcomes(Json::parse(run.out)), expected) << run.out;
  EXPECT_THAT(run.out, AllOf(HasSubstr("verifier.mismatch"), HasSubstr("; it accepts it"),
                             HasSubstr("it rejects it otherwise: R6 !read_ok"),
                             HasSubstr("as expected, the kernel's verifier rejects it: combined "
                                       "stack size of 2 calls is 576")));

  // Of bare cells the section says nothing.
  const Finished bare = run_farcall({"run", folder.path().string(), deep});
  EXPECT_EQ(bare.exit_code, 0) << bare.out << bare.err;
  EXPECT_THAT(bare.out, HasSubstr("4 passed"));
}

// Its interpreter goes wrong over a call of more than 32767 slots: an oops, and the end of the
// guest.
std::string far_call() {
  std::string text = "-- asm\ncall local f\n";
  for (int i = 0; i < 33'000; ++i) {
    text += "add %r0, 1\n";
  }
  return text + "exit\nf:\nmov %r0, 7\nexit\n-- place\nmain = text+64K\n-- result\n33007\n";
}

TEST(LinuxGuest, EachCellHasItsVerdictAndAPanicCostsOne) {
  const ScratchFolder folder;
  (void)folder.write("a-three.case", kThreeFunctions);
  (void)folder.write("b-far.case", far_call());
  (void)folder.write("c-memory.case",
                     "-- asm\nldxdw %r0, [%r1]\nadd %r0, %r2\nstxdw [%r1], %r0\nexit\n"
                     "-- mem\n01 00 00 00 00 00 00 00\n-- place\nmain = text+64K\n"
                     "-- result\n9\n-- mem-after mem\n0: 09\n");
  (void)folder.write("d-rejected.case",
                     "-- asm\nmov %r0, %r6\nexit\n-- place\nmain = text+64K\n-- result none\n");
  const Finished run = run_farcall(
      {"run", folder.path().string(), "--guest", "linux", "--kernel", kKernel, "--format", "json"});
  const auto seen = outcomes(Json::parse(run.out));
  EXPECT_EQ(run.exit_code, 1) << run.err;
  EXPECT_THAT(seen,
              testing::UnorderedElementsAre(testing::Pair("a-three@linux-jit", "pass"),
                                            testing::Pair("a-three@linux-interpreter", "pass"),
                                            testing::Pair("a-three@linux-hardened", "pass"),
                                            testing::Pair("b-far@linux-jit", "pass"),
                                            testing::Pair("b-far@linux-interpreter", "fail"),
                                            testing::Pair("b-far@linux-hardened", "skip"),
                                            testing::Pair("c-memory@linux-jit", "pass"),
                                            testing::Pair("c-memory@linux-interpreter", "pass"),
                                            testing::Pair("c-memory@linux-hardened", "pass"),
                                            testing::Pair("d-rejected@linux-jit", "skip"),
                                            testing::Pair("d-rejected@linux-interpreter", "skip"),
                                            testing::Pair("d-rejected@linux-hardened", "skip")))
      << run.out;
  EXPECT_THAT(run.out, HasSubstr("jit.crashed"));
  // Where addresses in dumps count from, and where helpers and interpreters are.
  EXPECT_THAT(run.out, testing::Not(HasSubstr("the kernel does not say where its")));
  EXPECT_THAT(run.out, HasSubstr("not for a hardened kernel"));
  EXPECT_THAT(run.out, HasSubstr("linux:6.1."));
}

// The distance of two functions, a pointer to one that the verifier removes, one into the stack, and a
// name of more than the kernel admits: none of these is wrong.
TEST(LinuxGuest, WhatACaseSaysOfItsPlacesIsNotHeldAgainstTheKernel) {
  const ScratchFolder folder;
  (void)folder.write("a-distance.case",
                     "-- asm\ncall local f\nlddw %r0, local f\nlddw %r1, local g\n"
                     "sub %r0, %r1\nexit\nf:\ncall local g\nexit\ng:\nmov %r0, 1\nexit\n"
                     "-- result\n-65536\n");
  (void)folder.write("b-removed.case",
                     "-- asm\ncall local g\nlddw %r0, local f\nexit\nf:\nmov %r0, 1\nexit\n"
                     "g:\nmov %r0, 2\nexit\n-- result\naddr(f)\n");
  (void)folder.write("c-stack.case", "-- asm\nmov %r0, %r10\nexit\n-- result\nany\n");
  const std::string name(600, 'a');
  (void)folder.write("d-name.case", "-- asm\ncall local " + name + "\nexit\n" + name +
                                        ":\nmov %r0, 7\nexit\n-- result\n7\n");
  const Finished run = run_farcall(
      {"run", folder.path().string(), "--guest", "linux", "--kernel", kKernel, "--format", "json"});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(outcomes(Json::parse(run.out)),
              testing::UnorderedElementsAre(testing::Pair("a-distance@linux-jit", "pass"),
                                            testing::Pair("a-distance@linux-interpreter", "skip"),
                                            testing::Pair("a-distance@linux-hardened", "pass"),
                                            testing::Pair("b-removed@linux-jit", "skip"),
                                            testing::Pair("b-removed@linux-interpreter", "skip"),
                                            testing::Pair("b-removed@linux-hardened", "skip"),
                                            testing::Pair("c-stack@linux-jit", "pass"),
                                            testing::Pair("c-stack@linux-interpreter", "pass"),
                                            testing::Pair("c-stack@linux-hardened", "pass"),
                                            testing::Pair("d-name@linux-jit", "pass"),
                                            testing::Pair("d-name@linux-interpreter", "pass"),
                                            testing::Pair("d-name@linux-hardened", "pass")))
      << run.out;
  EXPECT_THAT(run.out, AllOf(HasSubstr("depends on where it places functions and memory"),
                             HasSubstr("loads the address of f")));
}

// The verifier leaves one function of the second.
TEST(LinuxGuest, AWalkOverTheStackBelongsToBothModesOfTheJit) {
  const ScratchFolder folder;
  (void)folder.write("three.case", kThreeFunctions);
  (void)folder.write(
      "one.case",
      "-- asm\nmov %r0, 5\njeq %r0, 5, end\ncall local f\nend:\nexit\n"
      "f:\nmov %r0, 7\nexit\n-- calls\nmain[0] f *0\n-- place\nmain = text+64K\n-- result\n5\n");
  const Finished run = run_farcall(
      {"run", folder.path().string(), "--guest", "linux", "--kernel", kKernel, "--format", "json"});
  EXPECT_EQ(run.exit_code, 0) << run.out << run.err;
  const Json report = Json::parse(run.out);
  std::map<std::string, bool> walked;  // no note says that there was none
  std::size_t placed = 0;
  for (const Json& cell : report.at("cells")) {
    if (cell.contains("functions")) {
      ++placed;
      EXPECT_EQ(cell.at("placement"), "kernel");
      for (const Json& function : cell.at("functions")) {
        // From the kernel's text to vmalloc.
        EXPECT_GT(function.at("bytes_from_call_base").get<std::int64_t>(), std::int64_t{1} << 50);
      }
    }
    walked[cell.at("cell").get<std::string>()] =
        cell.dump().find("no walk over the stack: no function that the program calls returns") ==
        std::string::npos;
  }
  EXPECT_GE(placed, 2U);
  EXPECT_TRUE(walked.at("three@linux-jit"));
  EXPECT_TRUE(walked.at("three@linux-hardened"));
  EXPECT_FALSE(walked.at("one@linux-jit"));
  EXPECT_FALSE(walked.at("one@linux-hardened"));
}

TEST(LinuxGuest, AHardenedCellSaysWhatCouldNotBeChecked) {
  const ScratchFolder folder;
  (void)folder.write("constant.case", "-- asm\nmov %r0, 0x12345678\nexit\n-- result\n0x12345678\n");
  (void)folder.write("three.case", kThreeFunctions);
  const Finished run =
      run_farcall({"run", folder.path().string(), "--guest", "linux", "--kernel", kKernel});
  EXPECT_EQ(run.exit_code, 0) << run.out << run.err;
  EXPECT_THAT(run.out, HasSubstr("6 passed"));
  EXPECT_THAT(run.out, HasSubstr("jited_line_info and control flow are not checked"));
  EXPECT_THAT(run.out, testing::Not(HasSubstr("no constant that bpf_jit_harden=2 blinds")));
}

TEST(LinuxGuest, DistancesAreThoseOfEachBoot) {
  const tests::ScratchFolder folder;
  const std::string picture = (folder.path() / "distance.svg").string();
  const Finished run =
      run_farcall({"kernel", "distance", kKernel, "--boots", "1", "--json", "--picture", picture});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const Json rows = Json::parse(run.out).at("distances");
  ASSERT_EQ(rows.size(), 4U);  // radix and hash, idle and crowded
  for (const Json& row : rows) {
    // The beginning of vmalloc, and the kernel's text.
    ASSERT_EQ(row.at("functions").size(), 1U);
    EXPECT_THAT(row.at("functions")[0].at("address").get<std::string>(),
                testing::StartsWith("0xc0080"));
    EXPECT_EQ(row.at("area").at("begin"), "0xc008000000000000");
    EXPECT_THAT(row.at("__bpf_call_base").get<std::string>(), testing::StartsWith("0xc00000000"));
    EXPECT_FALSE(row.at("fits 32 bits").get<bool>());
  }
  const std::string name = Json::parse(run.out).at("distances")[0].at("kernel");
  EXPECT_THAT(name, testing::StartsWith("6.1."));  // Debian's newest of that series
  EXPECT_THAT(tests::contents(picture), HasSubstr("ppc64el " + name + ", hash, 128 MiB taken"));
}

}  // namespace
}  // namespace farcall::stock::linux_guest_test
