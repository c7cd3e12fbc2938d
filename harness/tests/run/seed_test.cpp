// Code that reads what nobody has written: the same verdict every time, and a finding that names
// it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "run/machine_run.hpp"
#include "run/pipeline.hpp"
#include "selection/select.hpp"
#include "tests/farcall_process.hpp"

namespace farcall::run::seed_test {
namespace {

using namespace tests;

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

constexpr const char* kLoadsR0 = "0x39000001";     // li r8,1: r8 holds BPF's r0
constexpr const char* kReadsR14 = "0x55c807fe";    // rlwinm r8,r14,0,31,31
constexpr const char* kReadsStack = "0x8901fdf0";  // lbz r8,-528(r1)

// The document of a program that returns 1, with that instruction in place of the one that makes
// it.
std::string document(const ScratchFolder& folder, const std::string& name,
                     const std::string& instruction) {
  const std::string source =
      folder.write(name + ".case", "-- asm\nmov %r0, 1\nexit\n-- result\n1\n");
  std::string text = run_farcall({"dump", source, "--stage=image", "--json"}).out;
  const std::size_t at = text.find(kLoadsR0);
  EXPECT_NE(at, std::string::npos) << text;
  text.replace(at, instruction.size(), instruction);
  return folder.write(name + ".json", text);
}

// Outcome by cell and seed.
std::map<std::pair<std::string, int>, std::string> outcomes(const ScratchFolder& folder,
                                                            std::vector<std::string> arguments) {
  const std::string report = (folder.path() / "report.json").string();
  arguments.insert(arguments.end(), {"--format", "json", "--output", report});
  const Finished run = run_farcall(arguments);
  EXPECT_NE(run.exit_code, 2) << run.err;
  std::map<std::pair<std::string, int>, std::string> found;
  const json read = json::parse(contents(report));
  for (const json& cell : read.at("cells")) {
    const auto [at, fresh] =
        found.try_emplace({cell.at("cell"), cell.at("seed")}, cell.at("outcome"));
    EXPECT_EQ(at->second, cell.at("outcome").get<std::string>())
        << "the same seed, another verdict";
  }
  return found;
}

// Where the budget stops an endless loop is chance: that two runs of it end at different places is
// not because of what nobody has written. Here the guest is made to say so each time.
TEST(Seed, DoesNotDecideWhereTheBudgetStopsALoop) {
  const ScratchFolder folder;
  auto selected = selection::select_cells(
      {.paths = {folder.write("loop.case", "-- asm\nmov %r0, 1\nexit\n-- result\n1\n")}});
  ASSERT_TRUE(selected) << to_string(selected.error());
  model::Document endless = selected.value().documents[0];
  endless.image = prepare(endless, 0).image;
  ASSERT_TRUE(endless.image);
  std::ranges::fill(endless.image->functions[0].words, 0x48000000);  // b .
  std::uint64_t runs = 0;
  const auto moved = [&runs](std::size_t, model::Observations& seen) {
    ASSERT_EQ(seen.ending, model::Ending::out_of_budget);
    seen.fault->address = seen.fault->address + 4 * ++runs;
  };
  std::optional<vm::Machine> machine;
  model::Verdict verdict;
  ASSERT_TRUE(run_on_machine(
      machine, std::vector{endless},
      {.images = farcall_binary().parent_path() / "images", .said = moved},
      {.next = each_of(1),
       .finish = [&verdict](FinishedCell cell) { verdict = std::move(cell.verdict); },
       .stopped = [] { return false; }}));
  EXPECT_EQ(runs, 3U);  // the job, the same one once more, and the one with the other seed
  EXPECT_EQ(verdict.outcome, model::Outcome::fail);
  for (const model::Finding& finding : verdict.findings) {
    EXPECT_NE(finding.code, ErrorCode::guest_unwritten_value) << finding.text;
  }
}

TEST(Seed, DecidesWhatCodeFindsThatNobodyHasWritten) {
  const ScratchFolder folder;
  const std::string one = document(folder, "one", kReadsR14);
  const std::string other = document(folder, "other", kReadsR14);
  const std::string good = document(folder, "good", kLoadsR0);
  // Each outcome again in a batch, in another order and alone.
  const auto all = outcomes(folder, {"run", "--from", one, good, other, "--seeds", "16"});
  EXPECT_EQ(all.size(), 48U);
  EXPECT_EQ(outcomes(folder, {"run", "--from", other, one, good, "--seeds", "16", "--repeat", "3"}),
            all);
  std::size_t passed = 0;
  for (int seed = 0; seed < 16; ++seed) {
    const auto alone = outcomes(folder, {"run", "--from", one, "--seed", std::to_string(seed)});
    EXPECT_EQ(alone.at({"one", seed}), all.at({"one", seed}));
    EXPECT_NE(all.at({"one", seed}), all.at({"one", seed ^ 1}))
        << "a pair of seeds has no bit alike";
    EXPECT_EQ(all.at({"good", seed}), "pass");
    passed += all.at({"one", seed}) == "pass" ? 1U : 0U;
  }
  EXPECT_EQ(passed, 8U);
}

TEST(Seed, IsInTheReplayLineAndInBundles) {
  const ScratchFolder folder;
  const std::string one = document(folder, "one", kReadsR14);
  const std::string bundle = (folder.path() / "failed.bundle").string();
  const Finished run =
      run_farcall({"run", "--from", one, "--seed", "2", "--seeds", "2", "--bundle", bundle});
  EXPECT_EQ(run.exit_code, 1);
  const json packed = json::parse(contents(bundle));
  ASSERT_EQ(packed.at("cells").size(), 1U);
  const auto seed = packed.at("cells")[0].at("seed").get<int>();
  EXPECT_THAT(run.out, HasSubstr("run --from " + one + " --seed " + std::to_string(seed) + "\n"));
  const Finished again = run_farcall({"replay", bundle});
  EXPECT_EQ(again.exit_code, 1);
  EXPECT_THAT(again.err, HasSubstr("1 of 1 end as they did"));
}

TEST(UnwrittenValue, IsNamedInTheFinding) {
  const ScratchFolder folder;
  const std::string one = document(folder, "one", kReadsR14);
  const Finished registers = run_farcall({"run", "--from", one, "--seeds", "2"});
  EXPECT_EQ(registers.exit_code, 1);
  EXPECT_THAT(registers.out, HasSubstr("the code reads r14 before anybody has written it; with "
                                       "--seed "));
  EXPECT_THAT(registers.out, HasSubstr("[guest.unwritten-value]"));
  const std::string stack = document(folder, "stack", kReadsStack);
  const Finished memory = run_farcall({"run", "--from", stack});
  // The function has no frame: its r1 is the one that it was entered with.
  EXPECT_THAT(memory.out, HasSubstr("the code reads the byte of the stack at "));
  EXPECT_THAT(memory.out, HasSubstr(", r1 - 528 before anybody has written it"));
  EXPECT_THAT(memory.out, HasSubstr("[result.mismatch]"));
  const std::string wrong = document(folder, "wrong", "0x39000002");  // li r8,2
  const Finished plain = run_farcall({"run", "--from", wrong});
  EXPECT_EQ(plain.exit_code, 1);
  EXPECT_THAT(plain.out, Not(HasSubstr("guest.unwritten-value")));
}

// A store to the frame that is not made, and of which nothing is read again.
TEST(Frame, IsAWitness) {
  const ScratchFolder folder;
  const std::string source =
      folder.write("store.case", "-- asm\nstdw [%r10-8], 5\nmov %r0, 1\nexit\n-- result\n1\n");
  std::string text = run_farcall({"dump", source, "--stage=image", "--json"}).out;
  EXPECT_EQ(run_farcall({"run", "--from", folder.write("good.json", text)}).exit_code, 0);
  json image = json::parse(text);
  std::size_t dropped = 0;
  for (json& word : image.at("image").at("functions")[0].at("words")) {
    const auto value = std::stoul(word.get<std::string>(), nullptr, 16);
    if (value >> 26 == 62 && (value & 3) == 0 && (value >> 16 & 31) == 31) {  // std rS,-8(r31)
      word = "0x60000000";
      ++dropped;
    }
  }
  ASSERT_EQ(dropped, 1U) << text;
  const Finished run = run_farcall({"run", "--from", folder.write("dropped.json", image.dump())});
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.out, HasSubstr("at r10-8 in the frame of main at the end; the CPU left"));
  EXPECT_THAT(run.out, HasSubstr("[stack.mismatch]"));
}

}  // namespace
}  // namespace farcall::run::seed_test
