#include "stock/refusal.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "stock/capture.hpp"
#include "tests/stock/cells.hpp"
#include "tests/stock/stock_guest.hpp"

namespace farcall::stock::refusal_test {
namespace {

using namespace tests;

using model::Json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

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

// 524 is ENOTSUPP. The verifier's log then has no reason, or one that it has of interpreted programs only.
TEST(Refusal, AJitThatFailsIsNotAVerifierThatRejects) {
  const LinuxCell cell = cell_of("-- asm\nmov %r0, 1\nexit\n-- result\n1\n");
  const auto came = [&](std::uint32_t error, const std::string& log, wire::KernelMode mode) {
    kernel::Answer answer;
    answer.outcome = wire::KernelOutcome::rejected;
    answer.error = error;
    answer.log = log + "processed 2 insns (limit 1000000) max_states_per_insn 0\n";
    return captured(cell, mode, answer, {.name = "k"});
  };
  using enum wire::KernelMode;
  constexpr std::uint32_t kNotSupported = 524;
  const std::string tail_calls =
      "tail_calls are not allowed in non-JITed programs with bpf-to-bpf calls\n";
  const std::string exit = "8: (95) exit\n";
  for (const auto& [error, log] :
       {std::pair{kNotSupported, std::string()}, std::pair{kNotSupported, exit},
        std::pair{std::uint32_t{EINVAL}, exit + tail_calls},
        std::pair{std::uint32_t{EINVAL},
                  exit + "callbacks are not allowed in non-JITed programs\n"}}) {
    const Captured refused = came(error, log, jit);
    ASSERT_EQ(refused.findings.size(), 1U) << log;
    EXPECT_EQ(refused.findings[0].code, ErrorCode::jit_refused);
    EXPECT_EQ(came(error, log, hardened).findings.size(), 1U) << log;
    EXPECT_TRUE(came(error, log, interpreter).skipped) << log;
  }
  // A JIT that has no tail calls in such programs, said at the call; and a reason of any kind.
  for (const auto& [error, log] :
       {std::pair{std::uint32_t{EINVAL}, "4: (85) call bpf_tail_call#12\n" + tail_calls},
        std::pair{std::uint32_t{EINVAL}, std::string()},
        std::pair{kNotSupported, std::string("0: (85) call bpf_sys_bpf#166\nno helper\n")}}) {
    EXPECT_THAT(came(error, log, jit).findings, IsEmpty()) << log;
    EXPECT_TRUE(came(error, log, jit).skipped) << log;
  }
}

TEST(Refusal, AProgramThatAnArrayDoesNotTakeIsNoReasonToSkip) {
  const LinuxCell cell = cell_of(kTailCall);
  const auto came = [&](wire::KernelOutcome outcome, std::uint32_t program) {
    kernel::Answer answer;
    answer.outcome = outcome;
    answer.error = EINVAL;
    answer.result = program;
    const Captured all = captured(cell, wire::KernelMode::jit, answer, {.name = "k"});
    EXPECT_FALSE(all.skipped || all.document);
    return all.findings;
  };
  const auto refused = came(wire::KernelOutcome::no_code_of_one, 2);
  ASSERT_EQ(refused.size(), 1U);
  EXPECT_EQ(refused[0].code, ErrorCode::jit_refused);
  EXPECT_EQ(refused[0].site, "other");
  EXPECT_EQ(model::outcome_of(refused[0]), model::Outcome::fail);
  const auto unknown = came(wire::KernelOutcome::not_put, 0);
  ASSERT_EQ(unknown.size(), 1U);
  EXPECT_EQ(unknown[0].site, "main");
  EXPECT_THAT(unknown[0].text, HasSubstr("does not take it: Invalid argument"));
  EXPECT_EQ(model::outcome_of(unknown[0]), model::Outcome::error);
}

// Blinding makes of a load of 64 bits as many slots as make its jump longer than 16 bits: the JIT gives up,
// and what has local calls is interpreted.
TEST(LinuxGuest, AProgramOfAnArrayThatTheJitGivesUpFails) {
  std::string text =
      "-- regs\nr1 = addr(number)\nr2 = addr(jumps)\n-- data number\n28\n-- asm\nmov %r3, 0\n"
      "call 12\nmov %r0, 99\nexit\n-- program far\nmov %r9, %r1\ncall local small\nldxb %r2, "
      "[%r9+0]\n"
      "jeq %r2, 5, end\n";
  for (unsigned i = 0; i < 4800; ++i) {
    text += fmt::format("lddw %r3, 0x12345678{:08x}\n", i);
  }
  const ScratchFolder folder;
  (void)folder.write("untouched.case",
                     "-- asm\nmov %r0, 7\nexit\n-- program next\nmov %r0, 3\nexit\n"
                     "-- array jumps size=2\n1 = next\n-- result\n7\n");
  (void)folder.write("far.case", text +
                                     "mov %r0, 3\nend: exit\nsmall:\nmov %r0, 1\nexit\n"
                                     "-- array jumps size=1\n0 = far\n-- result\n3\n");
  const Finished run = run_farcall(
      {"run", folder.path().string(), "--guest", "linux", "--kernel", kKernel, "--format", "json"});
  EXPECT_EQ(run.exit_code, 1) << run.out << run.err;
  EXPECT_THAT(
      outcomes(Json::parse(run.out)),
      ElementsAre(std::pair("far@linux-hardened", "fail"),
                  std::pair("far@linux-interpreter", "pass"), std::pair("far@linux-jit", "pass"),
                  std::pair("untouched@linux-hardened", "pass"),
                  std::pair("untouched@linux-interpreter", "pass"),
                  std::pair("untouched@linux-jit", "pass")))
      << run.out;
  EXPECT_THAT(run.out, HasSubstr("an array of programs that have code does not take it"));
}

// The kernel says EINVAL for both; of what its verifier rejects the log has a reason.
TEST(Refusal, AJitThatFailsWithTailCallsIsNotAVerifierThatRejects) {
  const LinuxCell cell = cell_of(kTailCall);
  const auto came = [&](const std::string& log, wire::KernelMode mode) {
    kernel::Answer answer;
    answer.outcome = wire::KernelOutcome::rejected;
    answer.error = EINVAL;
    answer.log = log + "processed 9 insns (limit 1000000) max_states_per_insn 0\n";
    return captured(cell, mode, answer, {.name = "k"});
  };
  for (const char* const trace :
       {"", "func#0 @0\n8: (95) exit\n", "8: (95) exit\nfrom 3 to 8: safe\n", "; return 1;\n"}) {
    const Captured refused = came(trace, wire::KernelMode::jit);
    ASSERT_EQ(refused.findings.size(), 1U) << trace;
    EXPECT_EQ(refused.findings[0].code, ErrorCode::jit_refused);
    EXPECT_TRUE(came(trace, wire::KernelMode::interpreter).skipped) << trace;
  }
  const Captured rejected = came("0: (bf) r0 = r6\nR6 !read_ok\n", wire::KernelMode::jit);
  EXPECT_THAT(rejected.findings, IsEmpty());
  EXPECT_TRUE(rejected.skipped);
}

TEST(Refusal, OfAJitDoesNotHideThatTheKernelWarned) {
  kernel::Answer answer;
  answer.outcome = wire::KernelOutcome::rejected;
  answer.error = EINVAL;
  answer.log = "8: (95) exit\nprocessed 9 insns (limit 1000000) max_states_per_insn 0\n";
  answer.kernel_log = "<4>WARNING: CPU: 0 PID: 1 at kernel/bpf/core.c:1\n";
  const Captured all = captured(cell_of(kTailCall), wire::KernelMode::jit, answer, {.name = "k"});
  ASSERT_EQ(all.findings.size(), 2U);
  EXPECT_EQ(all.findings[0].code, ErrorCode::jit_refused);
  EXPECT_EQ(all.findings[1].code, ErrorCode::jit_warned);
}

}  // namespace
}  // namespace farcall::stock::refusal_test
