#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>

#include <boost/process.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "engine/overlay.hpp"
#include "model/json.hpp"
#include "tests/farcall_process.hpp"
#include "tests/paths.hpp"

namespace farcall::run::jit_test {
namespace {

using namespace tests;

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

// How many processes have that text in their command line.
std::size_t processes_about(const std::string& text) {
  std::size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    std::ifstream file(entry.path() / "cmdline", std::ios::binary);
    std::string line;
    for (std::string word; std::getline(file, word, '\0');) {  // it may end meanwhile
      line += word + ' ';
    }
    count += line.find(text) != std::string::npos ? 1U : 0U;
  }
  return count;
}

// The little-endian one is made before anything is run, the other when the first cell wants it.
TEST(Jit, AKernelsIsNotBuiltOnOnceNobodyWaitsForIt) {
  namespace process = boost::process;
  const std::filesystem::path tree = kernel_tree("6.1");
  ASSERT_TRUE(std::filesystem::exists(tree)) << "farcall kernel fetch --source 6.1 brings it";
  const ScratchFolder folder;
  const std::string seven =
      folder.write("seven.case", std::string(kReturnsSeven) + "-- matrix\nendian be\n");
  const std::string cache = path_in(folder, "cache");
  const std::filesystem::path temporary = folder.path() / "temporary";
  std::filesystem::create_directory(temporary);
  process::environment environment = boost::this_process::environment();
  environment.set("XDG_CACHE_HOME", cache);
  environment.set("TMPDIR", temporary.string());
  for (const std::string awaited : {"kernel-jit/le-", "kernel-jit/be-"}) {
    const std::string said = path_in(folder, "said");
    process::child farcall(farcall_binary().string(),
                           process::args({"run", seven, "--jit", "kernel:" + tree.string()}),
                           environment, (process::std_out & process::std_err) > said);
    ASSERT_TRUE(eventually([&] { return processes_about(cache + "/farcall/" + awaited) != 0; }))
        << awaited << contents(said);
    const auto begin = std::chrono::steady_clock::now();
    ASSERT_EQ(::kill(farcall.id(), SIGINT), 0);
    farcall.wait();
    // To be built takes longer; that it was not even configured is seen below.
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10)) << awaited;
    if (awaited == "kernel-jit/le-") {
      EXPECT_EQ(farcall.native_exit_code(), SIGINT) << contents(said);
    } else {
      EXPECT_EQ(farcall.exit_code(), 128 + SIGINT) << contents(said);
      EXPECT_THAT(contents(said), HasSubstr("ended by SIGINT; 1 cell not run"));
    }
    EXPECT_EQ(processes_about(cache), 0U) << awaited;
    EXPECT_TRUE(std::filesystem::is_empty(temporary)) << awaited;
  }
  for (const auto& entry :
       std::filesystem::directory_iterator(folder.path() / "cache/farcall/kernel-jit")) {
    EXPECT_FALSE(std::filesystem::exists(entry.path() / "temporary")) << entry.path();
    // The little-endian one was built when the other was awaited.
    const bool is_big = entry.path().filename().string().starts_with("be-");
    EXPECT_NE(std::filesystem::exists(entry.path() / "build/configured"), is_big) << entry.path();
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

// A reason that is not here is a program that the glue has lost.
TEST_P(KernelJit, SkipsOnlyWhatIsRefusedByName) {
  const std::set<std::string> kReasons = {
      "code for ELFv1, which kernel:DIR is not built for",
      "the case expects a failure, of farcall's own linker or JIT",
      "tail calls in a program of several functions, which this JIT does not support",
      "a function of another program, other than by a tail call",
      "a helper more than 2 GiB from __bpf_call_base, which Linux cannot express",
      "a function at address 0, which stands for one that has no address yet",
      "a division by the constant 0, which Linux's verifier refuses",
      "may_goto, which Linux's verifier rewrites",
      "arguments six and more, which Linux does not have on ppc64",
      "an address of per-CPU data, which this JIT does not support",
      "an instruction that this kernel does not know",
      "a call of a kfunc, which this JIT does not support",
  };
  const ScratchFolder folder;
  run_farcall({"run", cases_folder().string(), "--jit", kernel_jit(GetParam()), "--allow",
               "code.size", "--format", "json", "--output", path_in(folder, "report.json")});
  const Json report = Json::parse(contents(path_in(folder, "report.json")));
  std::size_t tail_calls = 0;
  for (const Json& cell : report.at("cells")) {
    if (cell.at("outcome") == "skip") {
      const std::string reason = cell.at("findings").at(0).at("text");
      // A call through a register, and load_acquire: the JIT's own words.
      EXPECT_TRUE(kReasons.contains(reason) || testing::Matches(testing::MatchesRegex(
                                                   "eBPF filter opcode .* unsupported"))(reason))
          << cell.at("cell") << ": " << reason;
    } else if (cell.at("case").get<std::string>().find("tail-calls/") != std::string::npos) {
      ++tail_calls;
    }
  }
  EXPECT_EQ(tail_calls, 98U);
}

class KernelVariant : public testing::TestWithParam<const char*> {};

TEST_P(KernelVariant, PassesWhatItDoes) {
  const ScratchFolder folder;
  const std::string jit = "kernel:6.12+" + std::string(GetParam());
  const Finished run = run_farcall(
      {"run", (cases_folder() / "calls").string(), (cases_folder() / "helpers").string(),
       (cases_folder() / "pointers").string(), "--jit", jit, "--allow", "code.size", "--format",
       "json", "--output", path_in(folder, "report.json")});
  const Json report = Json::parse(contents(path_in(folder, "report.json")));
  EXPECT_GT(report.at("totals").at("passed").get<int>(), 40) << run.out;
  std::set<std::string> failed;
  for (const Json& cell : report.at("cells")) {
    if (cell.at("outcome") != "pass" && cell.at("outcome") != "skip") {
      failed.insert(cell.at("findings").at(0).at("text"));
    }
  }
  // What jits/final-return.case is about.
  const std::set<std::string> known = {"the JIT wrote outside the memory that it had asked for"};
  EXPECT_EQ(failed, std::string(GetParam()) == "pcrel" ? known : std::set<std::string>())
      << run.out;
}

INSTANTIATE_TEST_SUITE_P(Of612, KernelVariant, testing::Values("pcrel", "blinded", "probed"),
                         [](const auto& variant) { return std::string(variant.param); });

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
      {"early-exit", "absent, there"},
      {"final-return", "not-applicable, there"},
      {"length-of-code", "absent, there"},
      {"shift-by-more-than-the-width", "there, there"},
      {"sign-extending-load-that-faults", "not-applicable, there"},
      {"tail-call-pointer", "not-applicable, not-applicable"},
      {"tail-call-to-nowhere", "absent, absent"},
      {"toc-range", "there, there"},
      {"unaligned-sign-extending-load", "not-applicable, there"},
      // Only a kernel that runs shows these.
      {"dump-by-mode", "not-applicable, not-applicable"},
      {"far-call-in-the-dump", "not-applicable, not-applicable"},
      {"far-call-in-the-interpreter", "not-applicable, not-applicable"},
      {"line-info-one-early", "not-applicable, not-applicable"},
      {"line-info-from-the-descriptor", "not-applicable, not-applicable"},
      {"may-goto-in-the-interpreter", "not-applicable, not-applicable"},
      {"no-names-when-hardened", "not-applicable, not-applicable"},
      {"early-exit-in-the-kernel", "not-applicable, not-applicable"},
      {"line-info-not-blinded", "not-applicable, not-applicable"},
  };
  EXPECT_EQ(found, known) << run.out;
}

// An edit of a tree, and what of a run says that it was noticed.
struct Mutant {
  const char* name;
  const char* file;
  const char* text;
  const char* instead;
  const char* says;
  const char* variant = "";
};

constexpr Mutant kMutants[] = {
    {"bits 32 to 47 of an address", "bpf_jit.h", "if ((uintptr_t)(i) & 0x0000ffff00000000ULL)",
     "if (0)", "edge-callees-5-words"},
    {"HI for HA", "bpf_jit_comp64.c", "PPC_HA(reladdr)", "PPC_HI(reladdr)",
     "edge-helpers-bit-15-set"},
    {"control flow", "bpf_jit_comp64.c", "PPC_BCC(true_cond, addrs[i + 1 + off]);",
     "PPC_BCC(true_cond, addrs[i + off]);", "code.branch-elsewhere"},
    {"size", "bpf_jit_comp.c", "fp->jited_len = proglen + FUNCTION_DESCR_SIZE;",
     "fp->jited_len = proglen + FUNCTION_DESCR_SIZE + 8;", "code.size"},
    {"guard words", "bpf_jit_comp.c", "alloclen = proglen + FUNCTION_DESCR_SIZE",
     "alloclen = proglen - 4 + FUNCTION_DESCR_SIZE", "wrote outside the memory"},
    {"line table", "bpf_jit_comp.c", "bpf_prog_fill_jited_linfo(fp, addrs);",
     "for (flen = 0; flen <= fp->len; flen++) addrs[flen] += 4;\n"
     "bpf_prog_fill_jited_linfo(fp, addrs);",
     "code.branch-elsewhere"},
    {"exception table", "bpf_jit_comp.c", "PPC_RAW_BRANCH((long)(pc + jmp_off)",
     "PPC_RAW_BRANCH((long)(pc + jmp_off + 4)", "does not lead back to the instruction", "+probed"},
    {"what does not compile", "bpf_jit_comp.c", "fp->jited = 1;", "fp->jitted = 1;",
     "has no member named"},
};

// A copy of 6.1 in links, in which one file after the other is edited. The tree and its configuration
// stay, so that only what was edited is compiled.
TEST(KernelMutants, AreEachNoticed) {
  const ScratchFolder folder;
  const std::filesystem::path tree = folder.path() / "tree";
  ASSERT_TRUE(engine::make_overlay(kernel_tree("6.1"), tree, {}));
  ::setenv("XDG_CACHE_HOME", path_in(folder, "cache").c_str(), 1);
  for (const Mutant& mutant : kMutants) {
    SCOPED_TRACE(mutant.name);
    const std::filesystem::path file = tree / "arch/powerpc/net" / mutant.file;
    const std::filesystem::path original = std::filesystem::canonical(file);
    std::string text = contents(original);
    const std::size_t at = text.find(mutant.text);
    ASSERT_NE(at, std::string::npos);
    text.replace(at, std::string(mutant.text).size(), mutant.instead);
    std::filesystem::remove(file);  // a link
    std::ofstream(file) << text;
    const Finished run = run_farcall(
        {"run", (cases_folder() / "calls").string(), (cases_folder() / "helpers").string(),
         (cases_folder() / "pointers").string(), "--placements", "edges", "--where", "endian=le",
         // Without programs that are made long: no mutant is about their branches.
         "--filter", "*-edge-[!j]*", "--jit", "kernel:" + tree.string() + mutant.variant});
    std::filesystem::remove(file);
    std::filesystem::create_symlink(original, file);
    EXPECT_NE(run.exit_code, 0) << run.out << run.err;
    EXPECT_TRUE((run.out + run.err).find(mutant.says) != std::string::npos)
        << run.out.substr(0, 4000) << run.err.substr(0, 4000);
  }
  ::unsetenv("XDG_CACHE_HOME");
  // Nothing was added to the tree.
  EXPECT_FALSE(std::filesystem::exists(tree / ".config"));
}

// What is missing is named, and how to get it.
TEST(KernelJitTools, ThatAreNotInstalledAreNamed) {
  const ScratchFolder folder;
  const std::filesystem::path bin = folder.path() / "bin";
  std::filesystem::create_directory(bin);
  const std::string jit = "kernel:" + kernel_tree("6.1").string();
  const std::string seven = folder.write("seven.case", kReturnsSeven);
  ::setenv("XDG_CACHE_HOME", path_in(folder, "cache").c_str(), 1);
  for (const char* const tool :
       {"qemu-ppc64le", "make", "gcc", "flex", "bison", "bc", "powerpc64le-linux-gnu-gcc"}) {
    const Finished finished = run_farcall({"run", seven, "--jit", jit}, bin.string());
    EXPECT_EQ(finished.exit_code, 2) << finished.out << finished.err;
    EXPECT_THAT(finished.err, AllOf(HasSubstr(std::string(tool) + " is not installed"),
                                    HasSubstr("apt-get install gcc-powerpc64le-linux-gnu")));
    std::filesystem::create_symlink("/bin/true", bin / tool);
  }
  ::unsetenv("XDG_CACHE_HOME");
}

INSTANTIATE_TEST_SUITE_P(Trees, KernelJit, testing::Values("6.1", "6.12"));

}  // namespace
}  // namespace farcall::run::jit_test
