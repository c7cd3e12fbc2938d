#include "stock/capture.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "model/json.hpp"
#include "selection/select.hpp"
#include "tests/farcall_process.hpp"
#include "tests/stock/stock_guest.hpp"

namespace farcall::stock::capture_test {
namespace {

using namespace tests;

using model::Json;
using testing::AllOf;
using testing::HasSubstr;
std::string path_in(const ScratchFolder& folder, const std::string& name) {
  return (folder.path() / name).string();
}

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

// A kernel's unhardened answer in the place of a hardened one: it has done nothing of what was asked.
TEST(Hardened, CodeThatIsNotBlindedIsFound) {
  const ScratchFolder folder;
  const auto selected = selection::select_cells(
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
