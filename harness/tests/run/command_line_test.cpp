#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/process.hpp>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "model/json.hpp"
#include "tests/farcall_process.hpp"
#include "tests/paths.hpp"

namespace farcall::run::command_line_test {
namespace {

using namespace tests;

using model::Json;
using testing::HasSubstr;
using testing::StartsWith;

constexpr const char* kFarCase =
    "# A callee 2 PiB away.\n"
    "-- asm\n"
    "mov %r1, 41\n"
    "call local callee\n"
    "exit\n"
    "callee:\n"
    "mov %r0, %r1\n"
    "add %r0, 1\n"
    "exit\n"
    "-- place\n"
    "main = text+64K\n"
    "callee = vmalloc+0x12a468\n"
    "-- result\n"
    "42\n";

// That all cases pass is the business of coverage_test.cpp.
TEST(Run, EveryWitnessIsHeard) {
  const Finished run = run_farcall({"run", (cases_folder() / "calls").string(),
                                    (cases_folder() / "scheme").string(), "--format", "json"});
  ASSERT_EQ(run.exit_code, 0) << run.out << run.err;
  const Json report = Json::parse(run.out);
  EXPECT_EQ(report.at("farcall").at("format"), model::kJsonFormat);
  EXPECT_GE(report.at("totals").at("cells"), 12);
  EXPECT_EQ(report.at("totals").at("passed"), report.at("totals").at("cells"));
  EXPECT_GE(report.at("totals").at("call_sites"), 12);
  EXPECT_EQ(report.at("totals").at("agreed_call_sites"), report.at("totals").at("call_sites"));
  for (const Json& cell : report.at("cells")) {
    for (const Json& site : cell.at("sites")) {
      EXPECT_EQ(site.at("decoded"), site.at("expected")) << cell.at("cell");
      EXPECT_EQ(site.at("executed"), site.at("interpreted")) << cell.at("cell");
      if (site.at("executed") != 0) {
        EXPECT_EQ(site.at("reached"), Json::array({site.at("expected")})) << cell.at("cell");
      }
    }
  }
}

TEST(Run, SaysOfEachCallSiteWhatTheWitnessesSaw) {
  const ScratchFolder folder;
  const Finished run = run_farcall({"run", folder.write("far.case", kFarCase)});
  EXPECT_EQ(run.exit_code, 0) << run.out << run.err;
  EXPECT_THAT(run.out, HasSubstr("pass   far"));
  EXPECT_THAT(run.out, HasSubstr("r0 = 0x2a"));
  EXPECT_THAT(run.out, HasSubstr("main[0] → callee"));
  EXPECT_THAT(run.out, HasSubstr("c00800000012a468"));
  EXPECT_THAT(run.out, HasSubstr("+2.0 PiB"));
  EXPECT_THAT(run.out, HasSubstr("1 cell: 1 passed, 0 failed, 0 errors; at 1 of 1 call sites"));
  EXPECT_EQ(run.err, "");  // no progress line where nobody watches
}

// What a run of `path` shows on a terminal; script (of Debian's essential bsdutils) is one.
std::string on_terminal(const std::string& variables, const std::string& path) {
  return run_program("/usr/bin/script",
                     {"-qec", "env " + variables + " " + farcall_binary().string() + " run " + path,
                      "/dev/null"})
      .out;
}

TEST(Run, ATerminalHasColoursUnlessTheUserWantsNone) {
  const ScratchFolder folder;
  const std::string path = folder.write("far.case", kFarCase);
  EXPECT_THAT(on_terminal("-u NO_COLOR TERM=xterm", path), HasSubstr("\033[32mpass"));
  const std::string plain = on_terminal("NO_COLOR=1 TERM=xterm", path);
  EXPECT_THAT(plain, HasSubstr("pass   far"));
  EXPECT_THAT(plain, testing::Not(HasSubstr("\033[32m")));
}

TEST(Run, ATruncatedTargetIsShownWithItsEvidenceAndReplay) {
  const ScratchFolder folder;
  const std::string path = folder.write("far.case", kFarCase);
  const Finished dump = run_farcall({"dump", path, "--stage=image", "--json"});
  ASSERT_EQ(dump.exit_code, 0) << dump.err;
  Json image = Json::parse(dump.out);
  // The callee's address loses what a displacement of 32 bits from kernel text cannot carry, as in
  // the kernel of 2018: `lis r12,-16376` becomes `lis r12,-16384`.
  Json& words = image.at("image").at("functions").at(0).at("words");
  const auto upper = std::ranges::find(words, Json("0x3d80c008"));
  ASSERT_NE(upper, words.end()) << words.dump();
  *upper = "0x3d80c000";
  const std::string spoiled = folder.write("spoiled.json", image.dump());

  const Finished run = run_farcall({"run", "--from", spoiled});
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.out, HasSubstr("FAIL   far"));
  EXPECT_THAT(run.out, HasSubstr("[call.decoded-elsewhere]"));
  EXPECT_THAT(run.out, HasSubstr("[call.reached-elsewhere]"));
  EXPECT_THAT(run.out, HasSubstr("it reached c00000000012a468, -2.0 PiB off"));
  EXPECT_THAT(run.out, HasSubstr("[guest.fault]"));
  EXPECT_THAT(run.out, HasSubstr("code at main[0], in main:"));
  EXPECT_THAT(run.out, HasSubstr("bctrl"));
  EXPECT_THAT(run.out, HasSubstr("replay: "));
  EXPECT_THAT(run.out, HasSubstr("run --from " + spoiled));
}

TEST(Run, AReplayIsWhatAShellTakes) {
  const ScratchFolder folder;
  std::string text = kFarCase;
  text.replace(text.rfind("42"), 2, "43");
  std::filesystem::create_directory(folder.path() / "it's wrong");
  const std::string path = folder.write("it's wrong/far.case", text);
  const Finished run = run_farcall({"run", path});
  EXPECT_EQ(run.exit_code, 1);
  const std::string quoted = (folder.path() / "it'\\''s wrong/far.case").string();
  EXPECT_THAT(run.out, HasSubstr(" run '" + quoted + "' --filter far\n"));
}

// What the case says and is not so, with its line: the case is to blame, not the code under test.
TEST(Run, AWrongExpectationIsAFailureOfTheCaseWithItsLine) {
  struct Wrong {
    std::string before;
    std::string after;
    std::string finding;  // after the path
  };
  const ScratchFolder folder;
  for (const Wrong& wrong :
       {Wrong{"-- result\n42\n", "-- result\n43\n",
              ":13: the case expects r0 = 0x2b; the interpreter returns 0x2a "
              "[case.contradicts-interpreter]"},
        Wrong{"-- result\n42\n", "-- result\n42\n-- calls\nmain[0] callee *2\n",
              ":16: main[0]: the case expects 2 calls; the interpreter makes 1 "
              "[case.contradicts-interpreter]"},
        Wrong{"-- result\n42\n", "-- mem\n00 11\n-- result\n42\n-- mem-after mem\n1: 12\n",
              ":18: the case expects 12 at offset 1 of mem; the interpreter leaves 11 "
              "[case.contradicts-interpreter]"},
        Wrong{"-- result\n42\n", "-- fail\ncall.out-of-range\n",
              ":13: expected call.out-of-range; nothing failed [expected-failure.missing]"},
        Wrong{"mov %r1, 41\n", "mov %r1, 41\nja +1\n", ":5:1: main[0]: no run reaches this call"},
        Wrong{"mov %r0, %r1\n", "ldxb %r0, [%r1+0]\n", ":7:1: callee+0: load of 1 byte"}}) {
    SCOPED_TRACE(wrong.after);
    std::string text = kFarCase;
    text.replace(text.find(wrong.before), wrong.before.size(), wrong.after);
    const std::string path = folder.write("wrong.case", text);
    const Finished run = run_farcall({"run", path});
    EXPECT_EQ(run.exit_code, 1);
    EXPECT_THAT(run.out, HasSubstr("FAIL   wrong"));
    EXPECT_THAT(run.out, HasSubstr(path + wrong.finding));
    EXPECT_THAT(run.out, HasSubstr("0 passed, 1 failed, 0 errors"));
  }
}

TEST(Run, BadUsageExits2) {
  const ScratchFolder folder;
  const std::string path = folder.write("far.case", kFarCase);
  EXPECT_EQ(run_farcall({}).exit_code, 2);
  EXPECT_EQ(run_farcall({"run"}).exit_code, 2);
  EXPECT_EQ(run_farcall({"run", "/no/such/place"}).exit_code, 2);
  EXPECT_EQ(run_farcall({"run", path, "--jobs", "0"}).exit_code, 2);
  EXPECT_EQ(run_farcall({"run", path, "--format", "xml"}).exit_code, 2);
  EXPECT_EQ(run_farcall({"run", path, "--from", path}).exit_code, 2);
  EXPECT_EQ(run_farcall({"dump", path, "--stage=nowhere"}).exit_code, 2);
  const Finished nothing = run_farcall({"run", path, "--filter", "near*"});
  EXPECT_EQ(nothing.exit_code, 2);
  EXPECT_THAT(nothing.err, HasSubstr("usage.nothing-selected"));
}

TEST(Run, WhatCannotBeReadOrWrittenIsSaid) {
  const ScratchFolder folder;
  const std::string path = folder.write("far.case", kFarCase);
  const Finished from = run_farcall({"run", "--from", folder.path().string()});
  EXPECT_EQ(from.exit_code, 2);
  EXPECT_THAT(from.out, HasSubstr("file.unreadable"));
  EXPECT_EQ(run_farcall({"run", "--from", "/dev/zero"}).exit_code, 2);
  EXPECT_EQ(run_farcall({"run", path, "--rerun-failed", folder.path().string()}).exit_code, 2);
  const std::string odd = folder.write("odd.json", R"({"cells": [{"outcome": 1}, 3]})");
  EXPECT_EQ(run_farcall({"run", path, "--rerun-failed", odd}).exit_code, 2);
  const Finished full = run_farcall({"run", path, "--format", "json", "--output", "/dev/full"});
  EXPECT_EQ(full.exit_code, 2);
  EXPECT_THAT(full.err, HasSubstr("file.unwritable"));
  const std::string image = run_farcall({"dump", path, "--stage=image", "--json"}).out;
  const std::string good = folder.write("image.json", image);
  EXPECT_EQ(run_farcall({"run", "--from", good, "--filter", "far"}).exit_code, 2);
  std::string impossible = image;
  impossible.replace(impossible.find("power9"), 6, "power8");
  EXPECT_EQ(run_farcall({"run", "--from", folder.write("p8.json", impossible)}).exit_code, 2);
}

TEST(Run, WithoutQemuTheHarnessFailsAndSaysWhatToInstall) {
  const ScratchFolder folder;
  const std::string path = folder.write("far.case", kFarCase);
  const Finished run = run_farcall({"run", path}, folder.path().string());
  EXPECT_EQ(run.exit_code, 3);
  EXPECT_THAT(run.out, HasSubstr("machine.no-qemu"));
  EXPECT_THAT(run.out, HasSubstr("qemu-system-ppc"));
}

TEST(Run, TwoRunsTellTheSame) {
  const auto report = [] {
    const Finished run =
        run_farcall({"run", (cases_folder() / "calls").string(), "--format", "json"});
    EXPECT_EQ(run.exit_code, 0) << run.err;
    Json json = Json::parse(run.out);
    json.at("totals").erase("seconds");
    return json;
  };
  EXPECT_EQ(report(), report());
}

// Two cells, of which the first is one that a case expects wrongly.
constexpr const char* kTwoCells =
    "-- matrix\n"
    "call imm32 aux64\n"
    "-- asm\n"
    "call local callee\n"
    "exit\n"
    "callee:\n"
    "mov %r0, 42\n"
    "exit\n"
    "-- place\n"
    "main = text+64K\n"
    "callee = vmalloc+64K\n"
    "-- result\n"
    "42\n";

TEST(Run, AReportInAFileLeavesTextOnTheTerminalAndNamesWhatToRunAgain) {
  const ScratchFolder folder;
  const std::string path = folder.write("two.case", kTwoCells);
  const std::string report = (folder.path() / "report.json").string();
  const Finished first = run_farcall({"run", path, "--format", "json", "--output", report});
  EXPECT_EQ(first.exit_code, 1);
  EXPECT_THAT(first.out, HasSubstr("FAIL   two@imm32"));
  EXPECT_THAT(first.out, HasSubstr("pass   two@aux64"));

  const Finished again = run_farcall({"run", path, "--rerun-failed", report, "--format", "tap"});
  EXPECT_EQ(again.exit_code, 1);
  EXPECT_THAT(again.out, StartsWith("TAP version 13\n1..1\nnot ok 1 - two@imm32\n"));

  const std::string green =
      folder.write("green.json", R"({"cells": [{"cell": "two@imm32", "outcome": "pass"}]})");
  const Finished nothing = run_farcall({"run", path, "--rerun-failed", green});
  EXPECT_EQ(nothing.exit_code, 2);
  EXPECT_THAT(nothing.err, HasSubstr("every cell of this report passed"));
  EXPECT_EQ(run_farcall({"run", path, "--rerun-failed", path}).exit_code, 2);
  EXPECT_EQ(run_farcall({"run", path, "--output", "/no/such/folder/report"}).exit_code, 2);
}

TEST(Run, FailFastStopsAtTheFirstFailure) {
  const ScratchFolder folder;
  const Finished run =
      run_farcall({"run", folder.write("two.case", kTwoCells), "--fail-fast", "--repeat", "50"});
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.out, HasSubstr("1 cell: 0 passed, 1 failed"));
  EXPECT_THAT(run.out, HasSubstr("99 cells not run"));
}

TEST(Run, WhereSelectsByAxis) {
  const ScratchFolder folder;
  const std::string path = folder.write("two.case", kTwoCells);
  const Finished run = run_farcall({"run", path, "--where", "call=aux64,table", "--repeat", "3"});
  EXPECT_EQ(run.exit_code, 0) << run.out << run.err;
  EXPECT_THAT(run.out, HasSubstr("3 cells: 3 passed"));
  for (const char* const bad : {"call", "calls=aux64", "call=aux65", "call="}) {
    EXPECT_EQ(run_farcall({"run", path, "--where", bad}).exit_code, 2) << bad;
  }
}

// The lines of `text` up to the first that begins with `last`, without trailing blanks.
std::vector<std::string> lines_before(const std::string& text, const std::string& last) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line) && !line.starts_with(last);) {
    line.erase(line.find_last_not_of(' ') + 1);
    lines.push_back(line);
  }
  return lines;
}

TEST(Readme, ShowsWhatFarcallReallyPrints) {
  const std::string readme = contents(tests::source_dir() / "README.md");
  const std::string path = (cases_folder() / "reach/far-2p.case").string();
  const auto passed = lines_before(run_farcall({"run", path}).out, "1 cell");
  EXPECT_GE(passed.size(), 2U);
  for (const std::string& line : passed) {
    EXPECT_THAT(readme, HasSubstr(line));
  }

  const ScratchFolder folder;
  std::string image = run_farcall({"dump", path, "--stage=image", "--json"}).out;
  image.replace(image.find("0x3d80c008"), 10, "0x3d80c000");
  const Finished failed = run_farcall({"run", "--from", folder.write("truncated.json", image)});
  EXPECT_EQ(failed.exit_code, 1);
  const auto lines = lines_before(failed.out, "       registers:");
  EXPECT_GT(lines.size(), 10U);
  for (const std::string& line : lines) {
    EXPECT_THAT(readme, HasSubstr(line));
  }
}

TEST(Doctor, SaysWhatIsThereAndHowToMendWhatIsNot) {
  EXPECT_EQ(run_farcall({"doctor"}).exit_code, 0);
  const ScratchFolder empty;
  const Finished sick = run_farcall({"doctor"}, empty.path().string());
  EXPECT_EQ(sick.exit_code, 3);
  EXPECT_THAT(sick.out, HasSubstr("MISSING  qemu-system-ppc64"));
  EXPECT_THAT(sick.out, HasSubstr("mend it: apt-get install qemu-system-ppc\n"));

  // What a user of the Python package has: enough to run cases.
  const ScratchFolder qemu;
  std::filesystem::create_symlink(boost::process::search_path("qemu-system-ppc64").string(),
                                  qemu.path() / "qemu-system-ppc64");
  const Finished user = run_farcall({"doctor"}, qemu.path().string());
  EXPECT_EQ(user.exit_code, 0) << user.out;
  EXPECT_THAT(user.out, HasSubstr("without  gdb-multiarch"));
  EXPECT_THAT(user.out, HasSubstr("for what it is without: apt-get install gdb-multiarch clang "));
}

TEST(List, NamesAreThoseThatFilterTakes) {
  const Finished list = run_farcall({"list", cases_folder().string()});
  ASSERT_EQ(list.exit_code, 0) << list.err;
  std::set<std::string> names;
  std::istringstream lines(list.out);
  for (std::string name, path; lines >> name >> path;) {
    EXPECT_TRUE(names.insert(name).second) << name << " is not unique";
  }
  ASSERT_GE(names.size(), 12U);
  const Finished one =
      run_farcall({"run", cases_folder().string(), "--filter", *names.begin(), "--format", "json"});
  EXPECT_EQ(one.exit_code, 0) << one.out << one.err;
  EXPECT_EQ(Json::parse(one.out).at("totals").at("cells"), 1);
}

class Dump : public testing::TestWithParam<const char*> {};

TEST_P(Dump, ShowsEveryStageAsTextAndAsJson) {
  const ScratchFolder folder;
  const std::string path = folder.write("far.case", kFarCase);
  const std::string stage = std::string("--stage=") + GetParam();
  const Finished text = run_farcall({"dump", path, stage});
  EXPECT_EQ(text.exit_code, 0) << text.err;
  EXPECT_THAT(text.out, HasSubstr("far"));
  EXPECT_THAT(text.out, HasSubstr("callee"));
  const Finished json = run_farcall({"dump", path, stage, "--json"});
  ASSERT_EQ(json.exit_code, 0) << json.err;
  EXPECT_EQ(Json::parse(json.out).at("stage"), GetParam());

  // What a stage wrote can be run from there.
  const Finished again = run_farcall({"run", "--from", folder.write("stage.json", json.out)});
  EXPECT_EQ(again.exit_code, 0) << again.out << again.err;
  EXPECT_THAT(again.out, HasSubstr("1 passed"));
}

INSTANTIATE_TEST_SUITE_P(Stages, Dump,
                         testing::Values("cell", "linked", "image", "observations", "verdict"),
                         [](const auto& stage) { return std::string(stage.param); });

TEST(Listing, NamesHelpersAndKfuncs) {
  const std::string cell =
      (cases_folder() / "kfuncs/own-toc.case").string() + "@le-power8-hash-elfv2-bl";
  const Finished listing = run_farcall({"dump", cell, "--stage=xlated"});
  EXPECT_EQ(listing.exit_code, 0) << listing.err;
  EXPECT_THAT(listing.out, HasSubstr("call mix#1001\n"));
  EXPECT_THAT(listing.out, HasSubstr("call weighted_sum#5\n"));
}

// A farcall that is killed outright leaves no machine behind.
TEST(Process, NothingOutlivesAKill) {
  namespace process = boost::process;
  process::child farcall(farcall_binary().string(), "bench", "--programs", "20000",
                         process::std_out > process::null, process::std_err > process::null);
  std::vector<int> machines;
  (void)eventually([&] {
    machines = children_of(farcall.id());
    return !machines.empty();
  });
  ASSERT_FALSE(machines.empty()) << "no machine was started";
  ASSERT_EQ(kill(farcall.id(), SIGKILL), 0);
  farcall.wait();
  for (const int machine : machines) {
    EXPECT_TRUE(eventually([machine] { return has_ended(machine); }))
        << "QEMU " << machine << " still runs";
  }
}

// Whose number the compiled code has no helper for: a trap, named, at the call's own site.
TEST(CommandLine, ANumberOfNoHelperIsATrapInCompiledCode) {
  const ScratchFolder folder;
  const std::string file = folder.write(
      "number.case",
      "-- extension callx-helper\n-- helper 1 no_op\n-- regs\nr1 = 1\n-- asm\ncallx %r1\nexit\n"
      "-- result\n0\n-- calls\nmain[0] no_op\n");
  nlohmann::ordered_json image =
      nlohmann::ordered_json::parse(run_farcall({"dump", file, "--stage=image", "--json"}).out);
  image["cell"]["program"] = nullptr;
  const std::string good = folder.write("good.json", image.dump());
  EXPECT_EQ(run_farcall({"run", "--from", good}).exit_code, 0);
  for (const char* number : {"0x0", "0x2", "0x100000001"}) {
    image["cell"]["arguments"][0] = number;
    const std::string bad = folder.write("bad.json", image.dump());
    const Finished run = run_farcall({"run", "--from", bad});
    EXPECT_EQ(run.exit_code, 1) << number;
    EXPECT_THAT(run.out, HasSubstr("trap word")) << number;
    EXPECT_THAT(run.out, HasSubstr("[guest.fault]")) << number;
  }
}

}  // namespace
}  // namespace farcall::run::command_line_test
