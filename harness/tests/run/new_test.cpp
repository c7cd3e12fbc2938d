// `farcall new`: from an object to a case that passes.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "tests/farcall_process.hpp"
#include "tests/paths.hpp"
#include "tests/program.hpp"

namespace farcall::run::new_test {
namespace {

using namespace tests;

using testing::HasSubstr;
using testing::Not;

std::string object(const std::string& name) {
  return (cases_folder() / "c" / name).string();
}

TEST(New, WritesACaseThatPasses) {
  for (const std::string name : {"stubs.bpf.o", "stubs.bpfeb.o"}) {
    const tests::ScratchFolder folder;
    const std::string path = (folder.path() / "recorded.case").string();
    const tests::Finished made = run_farcall({"new", object(name) + ":stubs", "-o", path});
    ASSERT_EQ(made.exit_code, 0) << made.err;
    const std::string text = tests::contents(path);
    EXPECT_THAT(text, testing::StartsWith("# recorded, not derived: interpreter and CPU agreed"));
    EXPECT_THAT(text, HasSubstr("-- elf \"" + object(name) + "\" stubs\n"));
    EXPECT_THAT(text, HasSubstr("-- context context\n"));
    EXPECT_THAT(text, HasSubstr("-- stub kfunc kernel_function\nreturns 0\n"));
    EXPECT_THAT(text, HasSubstr("-- stub helper 5  # bpf_ktime_get_ns\nreturns 0\n"));
    // 100 + 111, and 0 from all stubs.
    EXPECT_THAT(text, HasSubstr("-- result\n0xd3\n"));
    EXPECT_THAT(text, HasSubstr("stubs[2] account\n"));
    const tests::Finished run = run_farcall({"run", path});
    EXPECT_EQ(run.exit_code, 0) << run.out << run.err;
    EXPECT_THAT(run.out, HasSubstr("1 passed"));
  }
}

TEST(New, WritesACaseForEachEntryAndRunsNone) {
  const tests::ScratchFolder folder;
  const tests::Finished made =
      run_farcall({"new", object("globals.bpf.o"), "--all", folder.path().string()});
  EXPECT_EQ(made.exit_code, 0) << made.err;
  EXPECT_TRUE(std::filesystem::exists(folder.path() / "globals.globals.case"));
  EXPECT_THAT(tests::contents(folder.path() / "globals.globals.case"),
              HasSubstr("-- result\nany\n-- calls\nrest *any\n"));
}

// What it lacks of a kernel: memory that helpers write, a result, objects behind null pointers.
TEST(New, WritesWhatAProgramOfAKernelLacks) {
  const tests::ScratchFolder folder;
  const std::string path = (folder.path() / "recorded.case").string();
  for (const auto& [entry, result, null] :
       {std::tuple("nothing", " none", Not(HasSubstr("-- data null"))),
        std::tuple("wake", "\n0x1", Not(HasSubstr("-- data null ro"))),
        std::tuple("draw", "\n0x2a", Not(HasSubstr("-- data null")))}) {
    const tests::Finished made =
        run_farcall({"new", object("probe.bpf.o") + ":" + entry, "-o", path});
    ASSERT_EQ(made.exit_code, 0) << made.err;
    const std::string text = tests::contents(path);
    EXPECT_THAT(text, testing::StartsWith("# recorded, not derived: interpreter and CPU agreed"));
    EXPECT_THAT(text, HasSubstr(std::string("-- result") + result + "\n"));
    EXPECT_THAT(text, null);
    EXPECT_EQ(run_farcall({"run", path}).exit_code, 0);
  }
}

TEST(New, GivesAContextThatHasNoEndRoomForMore) {
  const tests::ScratchFolder folder;
  const std::string path = (folder.path() / "recorded.case").string();
  ASSERT_EQ(run_farcall({"new", object("probe.bpf.o") + ":enter", "-o", path}).exit_code, 0);
  const std::string text = tests::contents(path);
  EXPECT_THAT(text, HasSubstr("-- context 104  # enter and what follows it\n"));
  EXPECT_THAT(text, HasSubstr("-- result\n0x3\n"));
  EXPECT_EQ(run_farcall({"run", path}).exit_code, 0);
}

// What the program does wrong is told with the line of its source.
TEST(New, AFailureNamesTheSourceLine) {
  const tests::ScratchFolder folder;
  const std::string path = (folder.path() / "wake.case").string();
  std::ofstream(path) << "-- elf \"" << object("probe.bpf.o")
                      << "\" wake\n-- context 96\n-- result\nany\n";
  const tests::Finished run = run_farcall({"run", path});
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.out, testing::ContainsRegex("wake\\+[0-9]+, [^ ]*probe\\.c:[0-9]+:[0-9]+: "
                                              "`\twaiter->next = 0;`: store of 8 bytes"));
}

// The default lets a program take a million instructions; this one takes 6.
TEST(Budget, IsAnOptionThatItsMessageNames) {
  const std::string path = (cases_folder() / "reach" / "far-2p.case").string();
  const tests::Finished little = run_farcall({"run", path, "--budget", "3"});
  EXPECT_EQ(little.exit_code, 1);
  EXPECT_THAT(little.out, HasSubstr("still running after 3 instructions, the budget: `farcall run "
                                    "--budget N` sets another"));
  EXPECT_THAT(little.out, HasSubstr("--filter far-2p --budget 3\n"));
  EXPECT_EQ(run_farcall({"run", path, "--budget", "100"}).exit_code, 0);
  EXPECT_EQ(run_farcall({"run", path, "--budget", "0"}).exit_code, 2);
}

TEST(New, SaysWhatItCannotDo) {
  const tests::Finished unknown = run_farcall({"new", object("stubs.bpf.o") + ":nobody"});
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_THAT(unknown.err, HasSubstr("there is no global function 'nobody'"));
  EXPECT_THAT(unknown.out, Not(HasSubstr("-- elf")));
  EXPECT_EQ(run_farcall({"new", "/nonexistent.o"}).exit_code, 2);
  const tests::Finished which = run_farcall({"new", object("probe.bpf.o")});
  EXPECT_EQ(which.exit_code, 2);
  EXPECT_THAT(which.err, HasSubstr(fmt::format("5 programs: expected '{}:ENTRY' with one of ",
                                               object("probe.bpf.o"))));
}

TEST(New, NamesTheEntryOfAnObjectThatHasOneAlone) {
  const tests::Finished made = run_farcall({"new", object("fifty.bpf.o")});
  EXPECT_EQ(made.exit_code, 0) << made.err;
  EXPECT_THAT(made.out, HasSubstr("-- elf \"" + object("fifty.bpf.o") + "\" fifty\n"));
}

}  // namespace
}  // namespace farcall::run::new_test
