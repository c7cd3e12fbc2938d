#include "stock/capture.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <system_error>
#include <vector>

#include "base/cache_folder.hpp"
#include "kernel/bpftool.hpp"
#include "kernel/store.hpp"
#include "model/json.hpp"
#include "run/select.hpp"
#include "stock/kernel.hpp"
#include "stock/listing.hpp"
#include "tests/farcall_process.hpp"
#include "vm/libvirt_host.hpp"

namespace farcall::stock::capture_test {
namespace {

using namespace tests;

using model::Json;
using testing::AllOf;
using testing::HasSubstr;

// ci/test has fetched it.
constexpr const char* kKernel = "6.1";

std::string path_in(const ScratchFolder& folder, const std::string& name) {
  return (folder.path() / name).string();
}

constexpr const char* kThreeFunctions =
    "# main, f, g: r0 = 1 + 10 + 100.\n"
    "-- asm\n"
    "mov %r6, 1\n"
    "call local f\n"
    "add %r0, %r6\n"
    "exit\n"
    "f:\n"
    "call local g\n"
    "add %r0, 10\n"
    "exit\n"
    "g:\n"
    "mov %r0, 100\n"
    "exit\n"
    "-- place\n"
    "main = text+64K\n"
    "-- result\n"
    "111\n";

TEST(Capture, AStockKernelsCodeRunsInTheBareGuestAtItsOwnAddresses) {
  const ScratchFolder folder;
  const std::string document = path_in(folder, "captured.json");
  const Finished captured =
      run_farcall({"kernel", "capture", folder.write("three.case", kThreeFunctions), "--kernel",
                   kKernel, "--output", document});
  ASSERT_EQ(captured.exit_code, 0) << captured.err;
  const Json image = Json::parse(contents(document)).at("image");
  ASSERT_EQ(image.at("functions").size(), 3U);
  for (const Json& function : image.at("functions")) {
    EXPECT_THAT(function.at("address").get<std::string>(), testing::StartsWith("0xc008"));
  }
  const Finished run = run_farcall({"run", "--from", document});
  EXPECT_EQ(run.exit_code, 0) << run.out << run.err;
  EXPECT_THAT(run.out, AllOf(HasSubstr("three@linux-jit-6.1."),
                             HasSubstr("at 2 of 2 call sites interpreter, bytes and CPU agree")));
}

// The words of the first function.
std::size_t words_of_main(const std::string& document) {
  return Json::parse(contents(document)).at("image").at("functions").at(0).at("words").size();
}

TEST(Capture, HardenedCodeIsLongerAndRunsInTheBareGuestToo) {
  const ScratchFolder folder;
  const std::string path = folder.write("three.case", kThreeFunctions);
  std::map<std::string, std::size_t> words;
  for (const std::string mode : {"jit", "hardened"}) {
    const std::string document = path_in(folder, mode + ".json");
    const Finished captured = run_farcall(
        {"kernel", "capture", path, "--kernel", kKernel, "--mode", mode, "--output", document});
    ASSERT_EQ(captured.exit_code, 0) << captured.err;
    words[mode] = words_of_main(document);
    const Finished run = run_farcall({"run", "--from", document});
    EXPECT_EQ(run.exit_code, 0) << run.out << run.err;
    EXPECT_THAT(run.out, AllOf(HasSubstr("three@linux-" + mode + "-6.1."),
                               HasSubstr("at 2 of 2 call sites interpreter, bytes and CPU agree")));
    EXPECT_THAT(run.out, HasSubstr("placed by the kernel, +2.0 PiB from __bpf_call_base"));
  }
  EXPECT_GT(words["hardened"], words["jit"]);
  EXPECT_EQ(run_farcall({"kernel", "capture", path, "--mode", "interpreter"}).exit_code, 2);
}

TEST(Capture, DamagedCodeOfAKernelIsFoundInTheBareGuest) {
  const ScratchFolder folder;
  const std::string document = path_in(folder, "captured.json");
  ASSERT_EQ(run_farcall({"kernel", "capture", folder.write("three.case", kThreeFunctions),
                         "--kernel", kKernel, "--output", document})
                .exit_code,
            0);
  // The top of a callee's address: lis r12,0xc008 becomes lis r12,0xc000.
  std::string text = contents(document);
  const std::size_t at = text.find("0x3d80c008");
  ASSERT_NE(at, std::string::npos);
  text.replace(at, 10, "0x3d80c000");
  const Finished run = run_farcall({"run", "--from", folder.write("damaged.json", text)});
  EXPECT_EQ(run.exit_code, 1) << run.out << run.err;
  EXPECT_THAT(run.out, HasSubstr("call.decoded-elsewhere"));
}

// The kernel's lines are one early on ppc64, and read as such: the way that no run takes is followed.
TEST(Capture, BranchesOfTheKernelsCodeAreFollowedByItsLines) {
  const ScratchFolder folder;
  const std::string document = path_in(folder, "captured.json");
  const Finished captured = run_farcall(
      {"kernel", "capture",
       folder.write("branch.case",
                    "-- asm\nldxdw %r1, [%r1+0]\nmov %r0, 1\njeq %r1, 7, other\nmov %r0, 2\n"
                    "add %r0, 3\nother:\nadd %r0, 4\nexit\n"
                    "-- mem\n05 00 00 00 00 00 00 00\n-- place\nmain = text+64K\n-- result\n9\n"),
       "--kernel", kKernel, "--output", document});
  ASSERT_EQ(captured.exit_code, 0) << captured.err;
  EXPECT_EQ(captured.err, "");  // no note that an instruction has no line
  std::string text = contents(document);
  const Json image = Json::parse(text).at("image");
  // Seven instructions and their prologue, which sets r1 to r5, and an epilogue.
  EXPECT_EQ(image.at("functions").at(0).at("lines").size(), 13U);
  const Finished trace = run_farcall({"trace", "--from", document});
  EXPECT_EQ(trace.exit_code, 0) << trace.err;
  EXPECT_THAT(trace.out, HasSubstr("main+10      add %r0, 3"));
  // beq, and a nop after it, over two instructions: one more.
  const std::size_t at = text.find("0x41820010");
  ASSERT_NE(at, std::string::npos);
  text.replace(at, 10, "0x41820014");
  const Finished damaged = run_farcall({"run", "--from", folder.write("damaged.json", text)});
  EXPECT_EQ(damaged.exit_code, 1) << damaged.out << damaged.err;
  EXPECT_THAT(damaged.out, HasSubstr("code.branch-elsewhere"));
}

// The kernel's own bpf_loop is called where it is in the kernel, and calls back by the address that
// the kernel's code loads.
TEST(Capture, ACallbackRunsInTheBareGuestAndADamagedPointerIsFound) {
  const ScratchFolder folder;
  const std::string document = path_in(folder, "captured.json");
  const Finished captured = run_farcall(
      {"kernel", "capture", (cases_folder() / "helpers/bpf-loop.case").string() + "@le-radix-elfv2",
       "--kernel", kKernel, "--output", document});
  ASSERT_EQ(captured.exit_code, 0) << captured.err;
  const Finished run = run_farcall({"run", "--from", document});
  EXPECT_EQ(run.exit_code, 0) << run.out << run.err;
  EXPECT_THAT(run.out, HasSubstr("at 2 of 2 call sites interpreter, bytes and CPU agree"));
  // The pointer goes into r4: lis r4,0xc008 becomes lis r4,0xc009.
  std::string text = contents(document);
  const std::size_t at = text.find("0x3c80c008");
  ASSERT_NE(at, std::string::npos);
  text.replace(at, 10, "0x3c80c009");
  const Finished damaged = run_farcall({"run", "--from", folder.write("damaged.json", text)});
  EXPECT_EQ(damaged.exit_code, 1) << damaged.out << damaged.err;
  EXPECT_THAT(damaged.out, HasSubstr("loop[0]"));
}

// The verifier puts a loop in place of bpf_loop, which calls the function itself.
TEST(Capture, WhatTheVerifierMadeOfAProgramRunsInTheBareGuest) {
  const ScratchFolder folder;
  const std::string document = path_in(folder, "captured.json");
  const Finished captured =
      run_farcall({"kernel", "capture",
                   (cases_folder() / "helpers/bpf-loop-inlined.case").string() + "@le-elfv2",
                   "--kernel", kKernel, "--output", document});
  ASSERT_EQ(captured.exit_code, 0) << captured.err;
  EXPECT_THAT(captured.err, HasSubstr("what the kernel's verifier has made of it"));
  const Finished run = run_farcall({"run", "--from", document});
  EXPECT_EQ(run.exit_code, 0) << run.out << run.err;
  EXPECT_THAT(run.out, HasSubstr("main[0] → body"));
}

TEST(Capture, MemoryIsWhatR1PointsTo) {
  const ScratchFolder folder;
  const std::string document = path_in(folder, "captured.json");
  const Finished captured =
      run_farcall({"kernel", "capture",
                   folder.write("memory.case",
                                "-- asm\nldxdw %r0, [%r1]\nadd %r0, 1\nstxdw [%r1+8], %r0\nexit\n"
                                "-- mem\n01 00 00 00 00 00 00 00\n00 00 00 00 00 00 00 00\n"
                                "-- place\nmain = text+64K\n-- result\n2\n"),
                   "--kernel", kKernel, "--output", document});
  ASSERT_EQ(captured.exit_code, 0) << captured.err;
  const Finished run = run_farcall({"run", "--from", document});
  EXPECT_EQ(run.exit_code, 0) << run.out << run.err;
}

TEST(Capture, WhatTheVerifierRejectsIsSaidInItsWords) {
  const ScratchFolder folder;
  const Finished rejected = run_farcall(
      {"kernel", "capture",
       folder.write("r6.case",
                    "-- asm\nmov %r0, %r6\nexit\n-- place\nmain = text+64K\n-- result none\n"),
       "--kernel", kKernel});
  EXPECT_EQ(rejected.exit_code, 2) << rejected.out;
  EXPECT_THAT(rejected.err,
              AllOf(HasSubstr("verifier rejects it: R6 !read_ok"), HasSubstr("[jit.declined]")));
}

std::string said_of_rejected(const std::string& log) {
  kernel::Answer answer;
  answer.outcome = wire::KernelOutcome::rejected;
  answer.error = EINVAL;
  answer.log = log;
  return skipped(answer)->message;
}

TEST(VerifiersReason, IsTheLineBeforeTheCounts) {
  EXPECT_EQ(said_of_rejected("0: (bf) r0 = r6\nR6 !read_ok\nprocessed 1 insns (limit 1000000)\n"),
            "the kernel's verifier rejects it: R6 !read_ok");
}

// What 7.3~rc7-1~exp1 wrote of the same program.
TEST(VerifiersReason, IsNotTheAdviceOfNewerKernels) {
  EXPECT_EQ(said_of_rejected(
                "5: (bf) r0 = r6\nR6 !read_ok\n\n"
                "Verification failed: Register Type Safety: Unreadable register\n\n"
                "Reason:\n"
                "  R6 has never been initialized on this path, so the verifier cannot use it\n"
                "  as an input.\n\n"
                "At:\n  insn 5\n       | ^-- error: R6 is not readable\n\n"
                "Suggestion:\n  Initialize R6 on every path before this instruction.\n\n"
                "processed 6 insns (limit 1000000) max_states_per_insn 0\n"),
            "the kernel's verifier rejects it: R6 has never been initialized on this path, so the "
            "verifier cannot use it as an input.");
}

// What each cell came to, by its name.
std::map<std::string, std::string> outcomes(const Json& report) {
  std::map<std::string, std::string> all;
  for (const Json& cell : report.at("cells")) {
    all[cell.at("cell").get<std::string>()] = cell.at("outcome").get<std::string>();
  }
  return all;
}

// The program may be one that farcall itself cannot end: nothing of it is run.
LinuxCell cell_to_be_rejected() {
  const ScratchFolder folder;
  const auto selected = run::select_cells(
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

TEST(Capture, WhatAStockKernelIsNotAskedAboutIsNamed) {
  const ScratchFolder folder;
  const std::string end = "exit\n-- place\nmain = text+64K\n-- result none\n";
  struct Refused {
    std::string text;
    std::string cell;  // the rest of its name
    std::string what;
  };
  for (const auto& [text, cell, what] :
       {Refused{"-- helper 7 no_op\n-- asm\ncall 7\n" + end, "",
                "helper 7 is the case's own function"},
        Refused{"-- matrix\nendian be\n-- asm\nmov %r0, 0\n" + end, "@be", "a big-endian cell"},
        Refused{"-- extension callx-address\n-- asm\nlddw %r1, local f\ncallx %r1\nexit\nf:\n"
                "mov %r0, 1\n" +
                    end,
                "", "a call through a register"}}) {
    const Finished refused = run_farcall(
        {"kernel", "capture", folder.write("refused.case", text) + cell, "--kernel", kKernel});
    EXPECT_EQ(refused.exit_code, 2) << text << refused.out;
    EXPECT_THAT(refused.err, AllOf(HasSubstr(what), HasSubstr("[jit.declined]"))) << text;
  }
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

// f may take an r5, in which the copy that walks hands its context on.
TEST(LinuxGuest, AWalkOverTheStackBelongsToBothModesOfTheJit) {
  const ScratchFolder folder;
  (void)folder.write("three.case", kThreeFunctions);
  (void)folder.write("r5.case",
                     "-- asm\nmov %r5, 0x12345\ncall local f\nexit\nf:\nmov %r0, %r5\nexit\n"
                     "-- place\nmain = text+64K\n-- result\n0x12345\n");
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
        cell.dump().find("no walk over the stack: f may take an r5") == std::string::npos;
  }
  EXPECT_GE(placed, 2U);
  EXPECT_TRUE(walked.at("three@linux-jit"));
  EXPECT_TRUE(walked.at("three@linux-hardened"));
  EXPECT_FALSE(walked.at("r5@linux-jit"));
  EXPECT_FALSE(walked.at("r5@linux-hardened"));
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

// A kernel's unhardened answer in the place of a hardened one: it has done nothing of what was asked.
TEST(Hardened, CodeThatIsNotBlindedIsFound) {
  const ScratchFolder folder;
  const auto selected = run::select_cells(
      {.paths = {folder.write("constant.case",
                              "-- asm\nmov %r0, 0x12345678\nexit\n-- result\n0x12345678\n")}});
  ASSERT_TRUE(selected);
  const LinuxCell cell = linux_cells(selected.value().documents, {}).front();
  const std::vector<bpf::Slot> slots = cell.question.slots;
  kernel::Answer plain;
  plain.outcome = wire::KernelOutcome::done;
  plain.result = 0x12345678;
  plain.program = slots;
  plain.function_types = {{.slot = 0, .type = 3}};
  plain.functions = {{.address = {0xc008'0000'0010'0000},
                      .symbol = {},
                      .words = {0x3d001234, 0x61085678, 0x7d034378, 0x4e800020}}};
  const kernel::Answered answered = plain;
  const Captured same =
      captured(cell, wire::KernelMode::hardened, answered, {.name = "k"}, &answered);
  EXPECT_FALSE(same.skipped);
  EXPECT_THAT(same.findings, testing::Contains(testing::Field(
                                 &model::Finding::text, HasSubstr("0x12345678 is in its code"))));
  const Captured alone = captured(cell, wire::KernelMode::hardened, answered, {.name = "k"});
  ASSERT_TRUE(alone.skipped);
  EXPECT_THAT(std::string(alone.skipped->message), HasSubstr("cannot be seen"));
  // What is skipped hides nothing of the kernel's own run.
  const auto codes_of = [&](const kernel::Answer& answer) {
    const Captured one = captured(cell, wire::KernelMode::hardened, answer, {.name = "k"});
    EXPECT_FALSE(one.skipped);
    std::vector<ErrorCode> codes;
    for (const model::Finding& finding : one.findings) {
      codes.push_back(finding.code);
    }
    return codes;
  };
  kernel::Answer wrong = plain;
  wrong.result = 1;
  EXPECT_THAT(codes_of(wrong), testing::ElementsAre(ErrorCode::result_mismatch));
  kernel::Answer warns = plain;
  warns.kernel_log = "WARNING: CPU: 0 PID: 1 at x.c:68\n";
  EXPECT_THAT(codes_of(warns), testing::ElementsAre(ErrorCode::jit_warned));
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
  EXPECT_THAT(tests::contents(picture), HasSubstr("ppc64el 6.1.176-1, hash, 128 MiB taken"));
}

// A file that is written anew has another.
ino_t file_number(const std::filesystem::path& path) {
  struct stat status = {};
  ::stat(path.c_str(), &status);
  return status.st_ino;
}

// A cache of its own, with the kernels of the user's.
class StockSnapshot : public testing::Test {
 public:
  StockSnapshot() {
    namespace fs = std::filesystem;
    fs::create_directories(cache_ / "farcall");
    fs::create_symlink(*cache_folder() / "kernels", cache_ / "farcall/kernels");
  }

  Finished capture(const std::vector<std::string>& options = {}) const {
    std::vector<std::string> arguments = {"kernel", "capture", case_, "--kernel", kKernel};
    arguments.insert(arguments.end(), options.begin(), options.end());
    return tests::run_program(farcall_binary(), arguments, {{"XDG_CACHE_HOME", cache_.string()}});
  }
  std::vector<std::filesystem::path> snapshots() const {
    std::vector<std::filesystem::path> found;
    std::error_code error;
    for (const auto& entry :
         std::filesystem::directory_iterator(cache_ / "farcall/snapshots", error)) {
      if (entry.path().extension() == ".snapshot") {
        found.push_back(entry.path());
      }
    }
    return found;
  }

  const std::filesystem::path& cache() const { return cache_; }
  const std::string& case_path() const { return case_; }

 private:
  ScratchFolder folder_;
  std::filesystem::path cache_ = folder_.path() / "cache";
  std::string case_ = folder_.write("three.case", kThreeFunctions);
};

TEST_F(StockSnapshot, IsTakenOnceAndThenRestored) {
  const Finished booted = capture();
  ASSERT_EQ(booted.exit_code, 0) << booted.err;
  EXPECT_EQ(booted.err, "");
  ASSERT_EQ(snapshots().size(), 1U);
  const ino_t taken = file_number(snapshots().front());
  const Finished restored = capture();
  EXPECT_EQ(restored.exit_code, 0);
  EXPECT_EQ(restored.err, "");
  EXPECT_EQ(restored.out, booted.out);                 // it places functions where it did before
  EXPECT_EQ(file_number(snapshots().front()), taken);  // it was not written anew
}

TEST_F(StockSnapshot, OneThatIsDamagedMeansABootAndANewOne) {
  ASSERT_EQ(capture().exit_code, 0);
  const auto size = std::filesystem::file_size(snapshots().front());
  std::filesystem::resize_file(snapshots().front(), size / 2);
  const Finished booted = capture();
  EXPECT_EQ(booted.exit_code, 0) << booted.err;
  EXPECT_THAT(booted.err, HasSubstr("a snapshot of a Linux guest cannot be restored, it boots"));
  ASSERT_EQ(snapshots().size(), 1U);
  EXPECT_GT(std::filesystem::file_size(snapshots().front()), size * 3 / 4);
  const Finished restored = capture();
  EXPECT_EQ(restored.exit_code, 0);
  EXPECT_EQ(restored.err, "");
}

TEST_F(StockSnapshot, AFreshBootNeedsNone) {
  const Finished booted = capture({"--fresh-boot"});
  EXPECT_EQ(booted.exit_code, 0) << booted.err;
  EXPECT_TRUE(snapshots().empty());
}

// libvirt boots a guest, has it saved, and restores it; the cells come to the same as without it.
class StockByLibvirt : public StockSnapshot {
 public:
  Finished run(std::vector<std::string> more, const tests::Environment& changes = {}) const {
    std::vector<std::string> arguments = {"run",      case_path(), "--guest",  "linux",
                                          "--kernel", kKernel,     "--format", "json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    tests::Environment environment = {{"XDG_CACHE_HOME", cache().string()}};
    environment.insert(changes.begin(), changes.end());
    return tests::run_program(farcall_binary(), arguments, environment);
  }
  static std::size_t windows() {
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/dev/shm")) {
      count += entry.path().filename().string().ends_with("-window") ? 1U : 0U;
    }
    return count;
  }
};

TEST_F(StockByLibvirt, CellsPassInAGuestThatBootsAndInOneThatIsRestored) {
  const Finished booted = run({"--vm", "libvirt"});
  ASSERT_EQ(booted.exit_code, 0) << booted.out << booted.err;
  EXPECT_EQ(booted.err, "");
  ASSERT_EQ(snapshots().size(), 1U);
  const ino_t taken = file_number(snapshots().front());
  const Finished restored = run({"--vm", "libvirt"});
  EXPECT_EQ(restored.exit_code, 0) << restored.out << restored.err;
  EXPECT_EQ(restored.err, "");
  EXPECT_EQ(file_number(snapshots().front()), taken);  // it was not written anew
  const Finished direct = run({});
  EXPECT_EQ(snapshots().size(), 2U);  // that of another machine
  EXPECT_EQ(outcomes(Json::parse(booted.out)), outcomes(Json::parse(direct.out)));
  EXPECT_EQ(outcomes(Json::parse(restored.out)), outcomes(Json::parse(direct.out)));
  EXPECT_EQ(outcomes(Json::parse(direct.out)).at("three@linux-hardened"), "pass");
  EXPECT_EQ(windows(), 0U);
}

TEST_F(StockByLibvirt, WithoutLibvirtNothingBoots) {
  const Finished none = run({"--vm", "libvirt"}, {{"LIBVIRT_DRIVER_DIR", cache().string()}});
  EXPECT_EQ(none.exit_code, 3) << none.out;
  EXPECT_THAT(none.err, HasSubstr("[machine.libvirt]"));
  EXPECT_TRUE(snapshots().empty());
}

TEST_F(StockByLibvirt, OneOnAnotherMachineIsRefused) {
  const Finished far =
      run({"--vm", "libvirt", "--connect", "qemu+ssh://somebody@host.invalid/system"});
  EXPECT_EQ(far.exit_code, 3) << far.out;
  EXPECT_THAT(far.err, AllOf(HasSubstr("is on another machine"), HasSubstr("without --connect")));
  EXPECT_TRUE(snapshots().empty());
}

// bpftool's guest is another than that of cells: it boots with files beside the agent.
TEST_F(StockByLibvirt, BpftoolListsWhatIsLoaded) {
  const auto store = kernel::Store::of_user().value();
  const auto bpftool = kernel::bpftool_files(
      store.get(kernel::wanted(kernel::Kind::bpftool, kKernel).value()).value().folder);
  ASSERT_TRUE(bpftool.has_value()) << to_string(bpftool.error());
  const std::unique_ptr<vm::Host> libvirt = vm::libvirt_host("").value();
  const kernel::Question question =
      listed_programs(run::select_cells({.paths = {case_path()}}).value().documents).at(0).question;
  const auto listed = kernel::list_programs(
      {.vmlinux = stock_kernel(kKernel).value().vmlinux,
       .agent = farcall_binary().parent_path() / "images/linux-agent",
       .host = libvirt.get()},
      bpftool.value(), std::vector{question, question}, wire::ListingReader::jit_on, {});
  ASSERT_TRUE(listed.has_value()) << to_string(listed.error());
  EXPECT_EQ(listed.value().trouble, "");
  ASSERT_EQ(listed.value().ids.size(), 2U);
  for (const std::uint32_t id : listed.value().ids) {
    EXPECT_THAT(listed.value().outputs[0].text, HasSubstr(std::to_string(id) + ": syscall  name "));
  }
}

TEST_F(StockByLibvirt, GuestsOfOtherArchitecturesAreNotItsOwn) {
  const Finished arm = run_farcall({"kernel", "distance", "--arch", "arm64", "--vm", "libvirt"});
  EXPECT_EQ(arm.exit_code, 2);
  EXPECT_THAT(arm.err, HasSubstr("--vm libvirt does not start guests of arm64"));
}

TEST(Capture, AKernelThatIsNoneIsRefused) {
  const ScratchFolder folder;
  const std::string three = folder.write("three.case", kThreeFunctions);
  const Finished foreign = run_farcall({"kernel", "capture", three, "--kernel", "/bin/true"});
  EXPECT_EQ(foreign.exit_code, 2);
  EXPECT_THAT(foreign.err, HasSubstr("not a kernel for ppc64"));
  const Finished unknown = run_farcall({"kernel", "capture", three, "--kernel", "5.4"});
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_THAT(unknown.err, HasSubstr("farcall kernel fetch 5.4"));
}

}  // namespace
}  // namespace farcall::stock::capture_test
