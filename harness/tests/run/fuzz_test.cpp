// `farcall reduce` and `farcall fuzz`, end to end, with a JIT that has known defects.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/process.hpp>
#include <csignal>
#include <filesystem>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "campaign/store.hpp"
#include "tests/farcall_process.hpp"
#include "tests/paths.hpp"
#include "tests/program.hpp"

namespace farcall::run::fuzz_test {
namespace {

using namespace tests;

namespace process = boost::process;

// `exec:` and its command.
std::string spoiled(const std::string& defect) {
  return fmt::format("exec:{}/harness/tests/spoiled_jit {}", tests::build_dir().string(), defect);
}

// 10 functions and some 200 instructions, one of them an arithmetic shift that the JIT gets wrong.
std::string large_case() {
  std::string text = "-- asm\n";
  for (int f = 0; f < 10; ++f) {
    text += f == 0 ? "" : fmt::format("f{}:\n", f);
    for (int r = 0; r <= 9; ++r) {
      text += fmt::format("mov %r{}, {}\n", r, 17 * f + r);
    }
    text += "stxdw [%r10-8], %r3\n";
    if (f == 6) {
      text += "lddw %r7, 0xfedcba9876543210\narsh32 %r7, 20\n";
    }
    text += "ldxdw %r8, [%r10-8]\nmul %r8, %r7\n";
    if (f < 9) {
      text += fmt::format("call local f{}\n", f + 1);
    }
    text += "add %r0, %r6\nadd %r0, %r7\nxor %r0, %r8\nsub %r0, %r9\nexit\n";
  }
  return text + "-- place\nf3 = io+64K\n-- result\nany\n";
}

std::ptrdiff_t line_count(const std::string& text) {
  return std::ranges::count(text, '\n');
}

// Of two tables one is not needed, and of the other one element.
TEST(Reduce, KeepsATableThatAJumpGoesThrough) {
  const ScratchFolder folder;
  const std::string large = folder.write(
      "large.case",
      "-- regs\nr3 = addr(used)\nr4 = addr(spare)\n-- asm\n.table spare right\n"
      ".table used wrong, right, wrong\nmov %r0, 5\nmov %r7, 8\nmul %r0, %r7\nadd %r3, %r7\n"
      "ldxdw %r3, [%r3+0]\ngotox %r3\nwrong:\nmov %r0, 3\nexit\nright:\nadd %r0, 1\nexit\n"
      "-- result\n41\n");
  const std::string small = folder.path() / "small.case";
  const std::string jit = spoiled("gotox");
  const Finished reduced = run_farcall({"reduce", large, "--jit", jit, "-o", small});
  ASSERT_EQ(reduced.exit_code, 0) << reduced.out << reduced.err;
  const std::string text = contents(small);
  EXPECT_NE(text.find(".table used "), std::string::npos) << text;
  EXPECT_EQ(text.find("spare"), std::string::npos) << text;
  EXPECT_NE(text.find("gotox"), std::string::npos) << text;
  EXPECT_EQ(text.find("mul"), std::string::npos) << text;
  const Finished again = run_farcall({"run", small, "--jit", jit});
  EXPECT_EQ(again.exit_code, 0) << again.out;
}

TEST(Reduce, ALargeProgramBecomesAFewLinesThatPass) {
  const ScratchFolder folder;
  const std::string large = folder.write("large.case", large_case());
  const std::string small = folder.path() / "small.case";
  const std::string jit = spoiled("srawi");
  const Finished reduced = run_farcall({"reduce", large, "--jit", jit, "-o", small});
  ASSERT_EQ(reduced.exit_code, 0) << reduced.err;
  const std::string text = contents(small);
  EXPECT_NE(text.find("arsh32"), std::string::npos) << text;
  EXPECT_NE(text.find("result.mismatch"), std::string::npos) << text;
  EXPECT_LT(line_count(text), 12) << text;
  // With the JIT the failure is known; without the defect, the case passes as well.
  EXPECT_EQ(run_farcall({"run", small, "--jit", jit}).exit_code, 0);
  EXPECT_EQ(run_farcall({"run", small}).exit_code, 0);
}

TEST(Reduce, APassIsNothingToReduce) {
  const ScratchFolder folder;
  const Finished refused = run_farcall(
      {"reduce", folder.write("good.case", "-- asm\nmov %r0, 1\nexit\n-- result\n1\n")});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_NE(refused.err.find("there is nothing to reduce"), std::string::npos) << refused.err;
  // A case that is wrong itself is not a finding either.
  EXPECT_EQ(run_farcall({"reduce", folder.write("bad.case",
                                                "-- asm\nldxdw %r0, [%r1+0]\nexit\n-- result\n"
                                                "any\n")})
                .exit_code,
            2);
}

TEST(Reduce, ADocumentStaysADocument) {
  const ScratchFolder folder;
  const std::string far = folder.write(
      "far.case",
      "-- mem\n01 02 03 04\n-- data more\n05\n-- asm\ncall local f\nexit\nf:\nmov %r0, 1\nexit\n"
      "-- place\nmain = text+64K\nf = vmalloc+0x12a468\n-- result\n1\n");
  const Finished dumped = run_farcall({"dump", far, "--stage=image", "--json"});
  ASSERT_EQ(dumped.exit_code, 0);
  std::string json = dumped.out;
  const std::size_t at = json.find("0x3d80c008");
  ASSERT_NE(at, std::string::npos);
  json.replace(at, 10, "0x3d80c000");
  const std::string small = folder.path() / "small.json";
  const Finished reduced = run_farcall({"reduce", folder.write("cut.json", json), "-o", small});
  ASSERT_EQ(reduced.exit_code, 0) << reduced.err;
  const std::string text = contents(small);
  EXPECT_LT(text.size(), json.size());
  EXPECT_EQ(text.find("\"more\""), std::string::npos);
  const Finished run = run_farcall({"run", "--from", small});
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_NE(run.out.find("call.decoded-elsewhere"), std::string::npos) << run.out;
}

struct Seeded {
  const char* defect;
  const char* code;
  const char* piece;  // of the reduced case
};
class SeededDefect : public testing::TestWithParam<Seeded> {};

TEST_P(SeededDefect, IsFoundAndReduced) {
  const ScratchFolder folder;
  const auto [defect, code, piece] = GetParam();
  const Finished found = run_farcall({"fuzz", "--jit", spoiled(defect), "--seed", "1", "--programs",
                                      "1024", "--corpus", folder.path()});
  EXPECT_EQ(found.exit_code, 1) << found.err;
  bool there = false;
  for (const auto& file : std::filesystem::directory_iterator(folder.path() / "findings")) {
    const std::string text = contents(file.path());
    there = there || (text.find(code) != std::string::npos &&
                      text.find(piece) != std::string::npos && line_count(text) < 24);
  }
  EXPECT_TRUE(there) << found.out;
}
INSTANTIATE_TEST_SUITE_P(All, SeededDefect,
                         testing::Values(Seeded{"far", "call.decoded-elsewhere", "call local"},
                                         Seeded{"srawi", "result.mismatch", "arsh32"},
                                         Seeded{"sth", "memory.mismatch", "stxh [%r"}),
                         [](const auto& of) { return std::string(of.param.defect); });

TEST(Fuzz, OurOwnJitHasNoFinding) {
  const Finished run = run_farcall({"fuzz", "--seed", "7", "--programs", "2048"});
  EXPECT_EQ(run.exit_code, 0) << run.out << run.err;
  EXPECT_NE(run.out.find("2048 programs, 2048 passed"), std::string::npos) << run.out;
}

// How many blocks a campaign has done so far.
std::size_t blocks_in(const std::filesystem::path& corpus) {
  // From then on whoever opens the state changes nothing of it.
  return std::filesystem::exists(corpus / "campaign.sqlite-wal")
             ? campaign::Store::open(corpus / "campaign.sqlite").value().blocks().size()
             : 0;
}

// Killed in the middle and started anew, a campaign comes to what one comes to that was not.
TEST(Fuzz, AKilledCampaignGoesOn) {
  const ScratchFolder folder;
  const auto campaign = [&](const std::string& name) {
    return std::vector<std::string>{"fuzz",   "--seed", "3",        "--programs",        "2048",
                                    "--jobs", "1",      "--corpus", folder.path() / name};
  };
  const Finished whole = run_farcall(campaign("whole"));
  ASSERT_EQ(whole.exit_code, 0) << whole.out << whole.err;
  process::child killed(farcall_binary().string(), process::args(campaign("parts")),
                        process::std_out > process::null, process::std_err > process::null);
  ASSERT_TRUE(eventually([&] { return blocks_in(folder.path() / "parts") > 0; }));
  ASSERT_EQ(::kill(killed.id(), SIGKILL), 0);
  killed.wait();
  ASSERT_EQ(killed.native_exit_code(), SIGKILL);
  const Finished again = run_farcall(campaign("parts"));
  ASSERT_EQ(again.exit_code, 0) << again.out << again.err;
  const auto counts = [](const std::string& text) { return text.substr(0, text.find(';')); };
  EXPECT_EQ(counts(again.out), counts(whole.out));
}

// What a campaign has done and seen, without what depends on the clock.
nlohmann::json done(const std::filesystem::path& folder) {
  nlohmann::json report = nlohmann::json::parse(contents(folder / "report.json"));
  report.erase("programs_by_minute");
  for (nlohmann::json& jit : report["jits"]) {
    jit.erase("seconds");
  }
  for (nlohmann::json& finding : report["findings"]) {
    finding.erase("seconds");
  }
  return report;
}

// A program that loses two machines is not a finding, and not the end of a night's work: its block runs
// once more, and counts once.
TEST(Fuzz, LostMachinesCostTimeAlone) {
  const ScratchFolder folder;
  const std::string out = folder.path() / "out";
  const std::string err = folder.path() / "err";
  process::child farcall(
      farcall_binary().string(),
      process::args({"fuzz", "--seed", "7", "--programs", "1024", "--jobs", "1"}),
      process::std_out > out, process::std_err > err);
  const auto is_repeated = [&err] {
    return contents(err).find("run once more on a new machine") != std::string::npos;
  };
  // How many it takes depends on how far each has come: three that do not boot, or two that do.
  std::set<int> killed;
  while (!is_repeated() && farcall.running()) {
    for (const int child : children_of(farcall.id())) {
      const std::string command = contents(fmt::format("/proc/{}/cmdline", child));
      if (command.find("pseries") != std::string::npos && !killed.contains(child)) {
        ::kill(child, SIGKILL);
        killed.insert(child);
      }
    }
  }
  farcall.wait();
  EXPECT_GE(killed.size(), 2U);
  EXPECT_EQ(farcall.exit_code(), 0) << contents(err);
  EXPECT_NE(contents(out).find("1024 programs, 1024 passed"), std::string::npos) << contents(out);
  EXPECT_TRUE(is_repeated()) << contents(err);
}

// Cut into parts, it sees what it sees as a whole; merged twice, it counts nothing twice.
TEST(Fuzz, PartsMergedAreTheWhole) {
  const ScratchFolder folder;
  const auto campaign = [&](const std::string& name, const std::vector<std::string>& more) {
    std::vector<std::string> words = {"fuzz", "--seed", "11", "--corpus", folder.path() / name};
    words.insert(words.end(), more.begin(), more.end());
    const Finished run = run_farcall(words);
    EXPECT_EQ(run.exit_code, 0) << run.out << run.err;
  };
  campaign("whole", {"--programs", "1024"});
  for (const char* const part : {"1", "2"}) {
    campaign(part, {"--programs", "1024", "--shard", fmt::format("{}/2", part)});
  }
  const std::string first = folder.path() / "1";
  campaign("all", {"--programs", "0", "--merge", first, folder.path() / "2", first});
  EXPECT_EQ(done(folder.path() / "all"), done(folder.path() / "whole"));
}

// Beside programs in a row, one with time runs mutants of what it has kept, and the next one begins
// with what the last one kept, for whichever JIT.
TEST(Fuzz, ACorpusIsWhereTheNextBegins) {
  const ScratchFolder folder;
  const std::string kept = folder.path() / "kept";
  const auto around = [&](const std::string& jit) {
    const auto store = campaign::Store::open(folder.path() / "kept" / "campaign.sqlite");
    const std::vector<campaign::BlockId> blocks = store.value().blocks();
    return std::ranges::count_if(blocks, [&](const campaign::BlockId& id) {
      return id.jit.starts_with(jit) && id.block >> 62 == 1;
    });
  };
  ASSERT_EQ(run_farcall({"fuzz", "--seed", "4", "--programs", "256", "--corpus", kept}).exit_code,
            0);
  EXPECT_EQ(around("farcall"), 0);  // so many programs are just these
  for (const std::string& jit : {std::string("farcall"), spoiled("none")}) {
    process::child next(
        farcall_binary().string(),
        process::args({"fuzz", "--jit", jit, "--seed", "9", "--for", "300", "--corpus", kept}),
        process::std_out > process::null, process::std_err > process::null);
    EXPECT_TRUE(tests::eventually([&] { return around(jit.substr(0, 5)) > 0; }));
    ASSERT_EQ(::kill(next.id(), SIGTERM), 0);
    next.wait();
    EXPECT_EQ(next.exit_code(), 128 + SIGTERM);
  }
}

// One defect comes to many things, by what follows in a program. With another seed it is the same.
TEST(Fuzz, ADefectIsOneFindingWhateverItComesTo) {
  const ScratchFolder folder;
  for (const char* const seed : {"1", "2"}) {
    const Finished run = run_farcall({"fuzz", "--jit", spoiled("far srawi sth"), "--seed", seed,
                                      "--programs", "1024", "--corpus", folder.path() / seed});
    ASSERT_EQ(run.exit_code, 1) << run.out << run.err;
  }
  const Finished merged = run_farcall({"fuzz", "--programs", "0", "--corpus", folder.path() / "all",
                                       "--merge", folder.path() / "1", folder.path() / "2"});
  std::multiset<std::string> found;
  const nlohmann::json report = done(folder.path() / "all");
  for (const nlohmann::json& finding : report["findings"]) {
    const bool is_call = finding["site"] != "no call";
    found.insert(finding["code"].get<std::string>() + ": " +
                 finding[is_call ? "site" : "shape"].get<std::string>());
    EXPECT_LE(finding["instructions"], 4) << finding;
  }
  EXPECT_EQ(found,
            (std::multiset<std::string>{
                "call.decoded-elsewhere: a call of a kfunc", "call.decoded-elsewhere: a local call",
                "memory.mismatch: stxh [%, odd] %", "result.mismatch: arsh32 1…31"}))
      << merged.out;
}

// The cases of findings come along; the same finding of two campaigns is one.
TEST(Fuzz, FindingsMergedAreKeptOnce) {
  const ScratchFolder folder;
  for (const char* const seed : {"1", "2"}) {
    const Finished run = run_farcall({"fuzz", "--jit", spoiled("srawi"), "--seed", seed,
                                      "--programs", "512", "--corpus", folder.path() / seed});
    ASSERT_EQ(run.exit_code, 1) << run.out << run.err;
  }
  for (int times = 0; times < 2; ++times) {
    const Finished merged =
        run_farcall({"fuzz", "--programs", "0", "--corpus", folder.path() / "all", "--merge",
                     folder.path() / "1", folder.path() / "2"});
    EXPECT_EQ(merged.exit_code, 1) << merged.err;
    EXPECT_NE(merged.out.find("1024 programs"), std::string::npos) << merged.out;
    const std::filesystem::directory_iterator kept(folder.path() / "all" / "findings");
    EXPECT_EQ(static_cast<std::size_t>(std::distance(begin(kept), end(kept))),
              done(folder.path() / "all")["findings"].size());
  }
}

}  // namespace
}  // namespace farcall::run::fuzz_test
