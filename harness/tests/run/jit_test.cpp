#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "engine/overlay.hpp"
#include "model/json.hpp"
#include "tests/paths.hpp"
#include "tests/run/farcall_process.hpp"

namespace farcall::run::jit_test {
namespace {

using model::Json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

std::string path_in(const ScratchFolder& folder, const std::string& name) {
  return (folder.path() / name).string();
}

std::string example() {
  return "exec:" + (tests::build_dir() / "harness" / "tests" / "example_jit").string();
}

// ci/test has them fetched; no tree if that was not done.
std::filesystem::path kernel_tree(const std::string& version) {
  std::string path = run_farcall({"kernel", "path", "--source", version}).out;
  path.resize(path.empty() ? 0 : path.size() - 1);
  return path;
}

std::string kernel_jit(const std::string& version) {
  return "kernel:" + version;
}

constexpr const char* kReturnsSeven =
    "# Seven.\n"
    "-- asm\n"
    "mov %r0, 7\n"
    "exit\n"
    "-- place\n"
    "main = text+64K\n"
    "-- result\n"
    "7\n";

constexpr const char* kReturnsArgument =
    "# What it is given.\n"
    "-- asm\n"
    "mov %r0, %r1\n"
    "exit\n"
    "-- place\n"
    "main = text+64K\n"
    "-- result\n"
    "0\n";

TEST(Jit, OneOfAnybodysIsRunAndNamed) {
  const ScratchFolder folder;
  const Finished run =
      run_farcall({"run", folder.write("seven.case", kReturnsSeven), "--jit", example(), "--format",
                   "json", "--output", path_in(folder, "report.json")});
  EXPECT_EQ(run.exit_code, 0) << run.out << run.err;
  EXPECT_THAT(run.out, AllOf(HasSubstr("JIT    " + example()), HasSubstr("pass   seven")));
  const Json cell = Json::parse(contents(path_in(folder, "report.json"))).at("cells").at(0);
  EXPECT_EQ(cell.at("jit"), example());
  EXPECT_THAT(cell.at("replay").get<std::string>(), HasSubstr("--jit " + example()));
}

TEST(Jit, WhatItDoesNotSupportIsASkipWithAReason) {
  const ScratchFolder folder;
  const Finished run =
      run_farcall({"run", folder.write("argument.case", kReturnsArgument), "--jit", example()});
  EXPECT_EQ(run.exit_code, 0) << run.out << run.err;
  EXPECT_THAT(run.out, AllOf(HasSubstr("anything but mov and exit"), HasSubstr("0 passed"),
                             HasSubstr("1 skipped")));
}

TEST(Jit, SeveralAreRunOneAfterTheOther) {
  const ScratchFolder folder;
  const Finished run = run_farcall(
      {"run", folder.write("seven.case", kReturnsSeven), "--jit", "farcall", "--jit", example()});
  EXPECT_EQ(run.exit_code, 0) << run.out << run.err;
  EXPECT_THAT(run.out, HasSubstr("2 cells: 2 passed"));
}

TEST(Jit, OneThatCrashesFailsItsCells) {
  const ScratchFolder folder;
  const Finished run =
      run_farcall({"run", folder.write("seven.case", kReturnsSeven), "--jit", "exec:/bin/false"});
  EXPECT_EQ(run.exit_code, 1) << run.out << run.err;
  EXPECT_THAT(run.out, AllOf(HasSubstr("jit.crashed"), HasSubstr("exit status 1")));
}

TEST(Jit, ReplayStartsNoCommandThatAFileNames) {
  const ScratchFolder folder;
  const std::string flag = path_in(folder, "started");
  const std::string script = folder.write("jit.sh", "#!/bin/sh\ntouch " + flag + "\n");
  std::filesystem::permissions(script, std::filesystem::perms::owner_all);
  const Finished run = run_farcall({"run", folder.write("seven.case", kReturnsSeven), "--jit",
                                    "exec:" + script, "--bundle", path_in(folder, "bundle.json")});
  EXPECT_EQ(run.exit_code, 1) << run.out << run.err;
  ASSERT_TRUE(std::filesystem::remove(flag));
  run_farcall({"replay", path_in(folder, "bundle.json")});
  EXPECT_FALSE(std::filesystem::exists(flag));
}

TEST(Jit, OneThatIsNotThereIsBadUsage) {
  const ScratchFolder folder;
  const std::string seven = folder.write("seven.case", kReturnsSeven);
  for (const auto& [jit, message] :
       {std::pair{"maybe", "expected farcall, exec:COMMAND, kernel:DIR or"},
        std::pair{"exec:/nonexistent/jit", "there is no program"},
        std::pair{"exec:", "there is no program"},
        std::pair{"kernel:/usr", "is not a Linux source tree"}}) {
    const Finished run = run_farcall({"run", seven, "--jit", jit});
    EXPECT_EQ(run.exit_code, 2) << jit << run.out << run.err;
    EXPECT_THAT(run.err, HasSubstr(message));
  }
}

class KernelJit : public testing::TestWithParam<const char*> {};

TEST_P(KernelJit, RunsAllCases) {
  ASSERT_TRUE(std::filesystem::exists(kernel_tree(GetParam())))
      << "farcall kernel fetch --source 6.1 6.12 brings it";
  const ScratchFolder folder;
  const Finished run =
      run_farcall({"run", cases_folder().string(), "--jit", kernel_jit(GetParam()), "--allow",
                   "code.size", "--format", "json", "--output", path_in(folder, "report.json")});
  const Json totals = Json::parse(contents(path_in(folder, "report.json"))).at("totals");
  EXPECT_EQ(run.exit_code, 0) << run.out << run.err;
  // Two cells of jits/toc-range.case are known to call elsewhere.
  EXPECT_EQ(totals.at("agreed_call_sites").get<int>() + 2, totals.at("call_sites").get<int>());
  // Skips are reasoned, and no more than a part.
  EXPECT_GT(totals.at("passed").get<int>(), totals.at("skipped").get<int>());
}

TEST_P(KernelJit, RunsTheEdges) {
  const ScratchFolder folder;
  const Finished run = run_farcall(
      {"run", (cases_folder() / "calls").string(), (cases_folder() / "helpers").string(),
       "--placements", "edges", "--jit", kernel_jit(GetParam()), "--allow", "code.size", "--format",
       "json", "--output", path_in(folder, "report.json")});
  const Json report = Json::parse(contents(path_in(folder, "report.json")));
  // What the TOC reach is checked for in the kernel is not what it is.
  std::set<std::string> failed;
  for (const Json& cell : report.at("cells")) {
    const std::string name = cell.at("cell");
    if (cell.at("outcome") != "pass" && cell.at("outcome") != "skip") {
      failed.insert(name.substr(name.find("edge-")));
    }
  }
  EXPECT_THAT(failed, testing::ElementsAre("edge-helpers-toc-beyond")) << run.out << run.err;
}

TEST(KernelDefects, AreThoseOfEachVersion) {
  const Finished run = run_farcall(
      {"kernel", "defects", kernel_tree("6.1").string(), kernel_tree("6.12").string(), "--json"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const Json table = Json::parse(run.out);
  std::map<std::string, std::string> found;
  for (const Json& defect : table.at("defects")) {
    std::string& states = found[defect.at("name")];
    for (const Json& jit : table.at("jits")) {
      states += (states.empty() ? "" : ", ") +
                defect.at("states").at(jit.get<std::string>()).at("state").get<std::string>();
    }
  }
  const std::map<std::string, std::string> known = {
      {"data-of-stubs", "absent, absent"},
      {"early-exit", "could-not-run, there"},
      {"length-of-code", "absent, there"},
      {"shift-by-more-than-the-width", "there, there"},
      {"toc-range", "there, there"},
      {"unaligned-sign-extending-load", "not-applicable, there"},
  };
  EXPECT_EQ(found, known) << run.out;
}

// An edit of a tree: a copy in links, and one file that differs.
struct Mutant {
  const char* name;
  const char* file;
  const char* text;
  const char* instead;
  const char* code;  // by which some cell fails
};

class KernelMutant : public testing::TestWithParam<Mutant> {};

TEST_P(KernelMutant, IsCaught) {
  const Mutant& mutant = GetParam();
  const ScratchFolder folder;
  const std::filesystem::path tree = folder.path() / "tree";
  ASSERT_TRUE(engine::make_overlay(kernel_tree("6.12"), tree));
  const std::filesystem::path file = tree / mutant.file;
  std::string text = contents(file);
  const std::size_t at = text.find(mutant.text);
  ASSERT_NE(at, std::string::npos);
  text.replace(at, std::string(mutant.text).size(), mutant.instead);
  std::filesystem::remove(file);  // a link
  std::ofstream(file) << text;
  ::setenv("XDG_CACHE_HOME", path_in(folder, "cache").c_str(), 1);
  const Finished run = run_farcall({"run", (cases_folder() / "calls").string(),
                                    (cases_folder() / "helpers").string(), "--placements", "edges",
                                    "--allow", "code.size", "--jit", "kernel:" + tree.string()});
  ::unsetenv("XDG_CACHE_HOME");
  EXPECT_EQ(run.exit_code, 1) << run.out << run.err;
  EXPECT_TRUE(run.out.find(mutant.code) != std::string::npos) << run.out.substr(0, 4000);
  // Nothing but what was edited is a file of the tree's own, and nothing was added.
  EXPECT_FALSE(std::filesystem::exists(tree / ".config"));
}

INSTANTIATE_TEST_SUITE_P(
    Edits, KernelMutant,
    testing::Values(Mutant{"Bits32To47", "arch/powerpc/net/bpf_jit.h",
                           "if ((uintptr_t)(i) & 0x0000ffff00000000ULL)", "if (0)",
                           "edge-callees-5-words"},
                    Mutant{"HighForHighAdjusted", "arch/powerpc/net/bpf_jit_comp64.c",
                           "PPC_HA(reladdr)", "PPC_HI(reladdr)", "edge-helpers-bit-15-set"}),
    [](const auto& mutant) { return std::string(mutant.param.name); });

INSTANTIATE_TEST_SUITE_P(Trees, KernelJit, testing::Values("6.1", "6.12"));

}  // namespace
}  // namespace farcall::run::jit_test
