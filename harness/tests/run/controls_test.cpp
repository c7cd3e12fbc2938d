// Positive controls: every finding that a witness has is made by some fault in cases/controls, and
// one that is not made is an error. And what keeps a guest's trouble from being the code's.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "base/error.hpp"
#include "run/machine_run.hpp"
#include "run/runner.hpp"
#include "selection/select.hpp"
#include "tests/farcall_process.hpp"

namespace farcall::run::controls_test {
namespace {

using namespace tests;

using testing::HasSubstr;

constexpr std::string_view kCase =
    "-- asm\n"
    "call local callee\n"
    "exit\n"
    "callee:\n"
    "mov %r0, 42\n"
    "exit\n"
    "-- result\n"
    "42\n";

// What code can be blamed for, but for what nothing that a guest runs can show.
std::vector<ErrorCode> codes_of_witnesses() {
  const std::set<ErrorCode> elsewhere = {
      ErrorCode::call_out_of_range,         // the linker's and the JIT's own refusals:
      ErrorCode::link_branch_out_of_range,  // cases/scheme, cases/reach
      ErrorCode::jit_unsupported,
      ErrorCode::jit_refused,  // a JIT of another process: harness/tests/engine
      ErrorCode::jit_crashed,
      ErrorCode::jit_timeout,
      ErrorCode::jit_bad_answer,
      ErrorCode::jit_warned,
      ErrorCode::
          symbol_mismatch,  // a stock kernel's: harness/tests/check, harness/tests/run/kernel_*
      ErrorCode::dump_mismatch,
      ErrorCode::line_mismatch,
      ErrorCode::verifier_mismatch,
      ErrorCode::kernel_test_failed,
      ErrorCode::kernel_test_missing,
  };
  std::vector<ErrorCode> codes = {ErrorCode::case_contradicts_interpreter,
                                  ErrorCode::machine_other_hardware};
  for (int i = 0; i <= static_cast<int>(ErrorCode::machine_job_too_large); ++i) {
    const auto code = static_cast<ErrorCode>(i);
    if (blame(code) == Blame::code && !elsewhere.contains(code)) {
      codes.push_back(code);
    }
  }
  return codes;
}

TEST(Controls, ThereIsOneForEveryCode) {
  const auto selected =
      selection::select_cells({.paths = {(cases_folder() / "controls").string()}}).value();
  EXPECT_TRUE(selected.bad.empty());
  std::set<ErrorCode> there;
  for (const model::Document& document : selected.documents) {
    if (document.cell.control) {
      there.insert(document.cell.control->code);
    }
  }
  for (const ErrorCode code : codes_of_witnesses()) {
    EXPECT_TRUE(there.contains(code)) << name(code) << ": nothing shows that farcall can find it";
  }
}

TEST(Controls, OneThatNothingFindsIsAnErrorOfFarcall) {
  const ScratchFolder folder;
  const std::string path = folder.write(
      "blind.case", fmt::format("{}-- spoiled\nresult-bit memory.stray-write\n", kCase));
  const Finished run = run_farcall({"run", path});
  EXPECT_EQ(run.exit_code, 3) << run.out;
  EXPECT_THAT(run.out, HasSubstr("expected memory.stray-write of the fault result-bit; what was "
                                 "found is below [control.missed]"));
  EXPECT_THAT(run.out, HasSubstr("[result.mismatch]"));
  EXPECT_THAT(run.out, HasSubstr("controls: 0 of 1 seeded fault found"));
}

TEST(Controls, PassWhereTheirCodeIsFoundAndNothingElseDoes) {
  const ScratchFolder folder;
  const std::string path =
      folder.write("seen.case", fmt::format("{}-- spoiled\nresult-bit result.mismatch\n", kCase));
  const Finished run = run_farcall({"run", path});
  EXPECT_EQ(run.exit_code, 0) << run.out;
  EXPECT_THAT(run.out, HasSubstr("seen@result-bit"));
  EXPECT_THAT(run.out, HasSubstr("result.mismatch, as it must be found"));
  EXPECT_THAT(run.out, HasSubstr("2 cells: 2 passed"));
  EXPECT_THAT(run.out, HasSubstr("controls: 1 of 1 seeded fault found"));
}

TEST(Controls, NameFaultsThatThereAreAndThatTouchTheirCells) {
  const ScratchFolder folder;
  const std::string unknown = folder.write(
      "unknown.case", fmt::format("{}-- spoiled\nresult-bits result.mismatch\n", kCase));
  EXPECT_THAT(run_farcall({"run", unknown}).out, HasSubstr("there is no fault result-bits"));
  const std::string untouched = folder.write(
      "untouched.case", fmt::format("{}-- spoiled\ntail-limit-32 result.mismatch\n", kCase));
  EXPECT_THAT(run_farcall({"run", untouched}).out,
              HasSubstr("the fault tail-limit-32 changes nothing in untouched@tail-limit-32"));
}

// One cell, whose guest says something else of it the first `lies` times.
model::Verdict verdict_of_liar(unsigned lies) {
  const ScratchFolder folder;
  const std::string path = folder.write("one.case", std::string(kCase));
  auto selected = selection::select_cells({.paths = {path}}).value();
  RunnerOptions options{.images = farcall_binary().parent_path() / "images"};
  options.said = [&lies](std::size_t, model::Observations& seen) {
    if (lies > 0) {
      --lies;
      seen.registers.gpr[3] ^= 1;
    }
  };
  model::Verdict verdict;
  run_all(Documents(std::move(selected.documents)), options,
          [&verdict](const FinishedCell& cell) { verdict = cell.verdict; });
  return verdict;
}

TEST(Blame, IsNotTheCodesIfTheSameJobDoesNotFailTwice) {
  const model::Verdict once = verdict_of_liar(1);
  EXPECT_EQ(once.outcome, model::Outcome::error);
  ASSERT_FALSE(once.findings.empty());
  EXPECT_EQ(once.findings[0].code, ErrorCode::machine_bad_answer);
  EXPECT_THAT(once.findings[0].text, HasSubstr("the same job did not end the same twice: first it "
                                               "result.mismatch"));
  const model::Verdict always = verdict_of_liar(1000);
  EXPECT_EQ(always.outcome, model::Outcome::fail);
  ASSERT_FALSE(always.findings.empty());
  EXPECT_EQ(always.findings[0].code, ErrorCode::result_mismatch);
}

// The guest's own word, not what the host believes that it started.
TEST(Blame, IsAMachinesThatIsAnotherThanTheCellNames) {
  const ScratchFolder folder;
  const std::string path = folder.write("one.case", std::string(kCase));
  auto selected = selection::select_cells({.paths = {path}}).value();
  const std::filesystem::path images = farcall_binary().parent_path() / "images";
  for (const auto& [cpu, mmu, said] :
       {std::tuple{model::Cpu::power10, model::Mmu::radix, "le, power10 (PVR 0080"},
        std::tuple{model::Cpu::power9, model::Mmu::hash, ", hash"}}) {
    model::AxisValues axes;
    axes.cpu = cpu;
    axes.mmu = mmu;
    std::optional<vm::Machine> machine = vm::Machine::start(machine_spec(axes, images)).value();
    std::vector<model::Verdict> verdicts;
    const auto ran = run_on_machine(
        machine, Documents(selected.documents), {.images = images},
        {.next = each_of(1),
         .finish = [&](FinishedCell&& cell) { verdicts.push_back(std::move(cell.verdict)); },
         .stopped = [] { return false; }});
    EXPECT_TRUE(ran.has_value());
    ASSERT_EQ(verdicts.size(), 1U);
    EXPECT_EQ(verdicts[0].outcome, model::Outcome::error);
    ASSERT_FALSE(verdicts[0].findings.empty());
    EXPECT_EQ(verdicts[0].findings[0].code, ErrorCode::machine_other_hardware);
    EXPECT_THAT(verdicts[0].findings[0].text, HasSubstr(said));
  }
}

}  // namespace
}  // namespace farcall::run::controls_test
