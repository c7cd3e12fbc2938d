// What a user meets at the prompt, whatever the command.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/process.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

#include "base/explanation.hpp"
#include "command/nearest.hpp"
#include "command/terminal.hpp"
#include "model/json.hpp"
#include "tests/farcall_process.hpp"
#include "tests/paths.hpp"

namespace farcall::run::prompt_test {
namespace {

using namespace tests;

namespace process = boost::process;
using testing::AllOf;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr const char* kFourCells =
    "-- matrix\ncall imm32 aux64 pair64 table\n-- asm\ncall local callee\nexit\ncallee:\n"
    "mov %r0, 42\nexit\n-- place\ncallee = text+128K\n-- result\n42\n";

TEST(Words, OptionsMayStandBeforeThePath) {
  const ScratchFolder folder;
  const std::string path = folder.write("four.case", kFourCells);
  for (const std::vector<std::string>& options :
       {std::vector<std::string>{"--where", "call=aux64"}, {"--filter", "*aux64"}}) {
    std::vector<std::string> arguments = {"run"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    arguments.push_back(path);
    const Finished run = run_farcall(arguments);
    EXPECT_EQ(run.exit_code, 0) << run.err;
    EXPECT_THAT(run.out, HasSubstr("pass   four@aux64"));
    EXPECT_THAT(run.out, HasSubstr("1 cell: 1 passed, 0 failed, 0 errors"));
  }
}

// What may be given several times has one value each time.
TEST(Words, WhatFollowsAnOptionsValueIsNotAnotherOne) {
  const ScratchFolder folder;
  const std::string path = folder.write("four.case", kFourCells);
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"run", "--jit", "farcall", path},
        {"run", "--allow", "result.mismatch", path}}) {
    const Finished run = run_farcall(arguments);
    EXPECT_EQ(run.exit_code, 0) << run.out << run.err;
  }
  const Finished suite = run_farcall({"kernel", "selftest", "--suite", "test_bpf", "6.1"});
  EXPECT_THAT(suite.err, HasSubstr("'6.1' was not expected"));  // instead of: not a suite
}

TEST(Words, AFormatTakesOneWord) {
  const ScratchFolder folder;
  const Finished run =
      run_farcall({"run", "--format", "tap", folder.write("four.case", kFourCells)});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run.out, HasSubstr("1..4"));
}

TEST(Words, SeveralFiltersSelectWhatOneOfThemMatches) {
  const ScratchFolder folder;
  const std::string path = folder.write("four.case", kFourCells);
  const Finished list = run_farcall({"list", "--filter", "*@a*", "--filter", "*@t*", path});
  EXPECT_EQ(list.exit_code, 0) << list.err;
  EXPECT_THAT(list.out, ContainsRegex("^four@aux64 [^\n]*\nfour@table [^\n]*\n$"));
}

TEST(Words, ACellIsNamedAsEverywhere) {
  const ScratchFolder folder;
  const std::string path = folder.write("four.case", kFourCells);
  const Finished one = run_farcall({"run", path + "@table"});
  EXPECT_EQ(one.exit_code, 0) << one.err;
  EXPECT_THAT(one.out, HasSubstr("pass   four@table"));
  EXPECT_THAT(one.out, HasSubstr("1 cell: 1 passed"));
  // Beside the whole file it is not run twice.
  EXPECT_THAT(run_farcall({"run", path + "@table", path}).out, HasSubstr("4 cells: 4 passed"));
  const Finished none = run_farcall({"run", path + "@tables"});
  EXPECT_EQ(none.exit_code, 2);
  EXPECT_THAT(none.out, HasSubstr("expected one of: " + path + "@imm32 "));
  // A file whose own name has an @ is a file.
  std::filesystem::create_directory(folder.path() / "a@b");
  EXPECT_EQ(run_farcall({"list", (folder.path() / "a@b").string()}).exit_code, 2);
  const std::string inside = folder.write("a@b/four.case", kFourCells);
  EXPECT_EQ(run_farcall({"list", inside + "@table"}).exit_code, 0);
}

TEST(Words, AMinusIsStandardInput) {
  const ScratchFolder folder;
  const Finished run = run_farcall({"run", "-", "--filter", "*table"}, "", kFourCells);
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run.out, HasSubstr("pass   stdin@table"));
  const Finished bad = run_farcall({"run", "-"}, "", "-- asm\nexitt\n");
  EXPECT_EQ(bad.exit_code, 2);
  EXPECT_THAT(bad.out, HasSubstr("-:2:1: "));
  const std::string image = run_farcall({"dump", folder.write("four.case", kFourCells) + "@imm32",
                                         "--stage=image", "--json"})
                                .out;
  EXPECT_EQ(run_farcall({"run", "--from", "-"}, "", image).exit_code, 0);
  const Finished names = run_farcall({"resolve", "-", "c008000000000104"}, "",
                                     "c008000000000100 t f\nc008000000000200 t g\n");
  EXPECT_THAT(names.out, HasSubstr("f+0x4"));
}

TEST(Words, ATypoIsNamedWithWhatItMayHaveBeen) {
  const Finished command = run_farcall({"rnu", "cases"});
  EXPECT_EQ(command.exit_code, 2);
  EXPECT_THAT(command.err, StartsWith("error: there is no command rnu; did you mean run? "
                                      "[usage.bad-argument]\n"));
  const Finished option = run_farcall({"list", "cases", "--fitler", "x"});
  EXPECT_EQ(option.exit_code, 2);
  EXPECT_THAT(option.err, HasSubstr("there is no option --fitler; did you mean --filter?"));
  EXPECT_THAT(option.err, HasSubstr("farcall list --help"));
  const Finished inner = run_farcall({"kernel", "fetsh"});
  EXPECT_THAT(inner.err, StartsWith("error: there is no command fetsh; did you mean fetch? "));
  const Finished of_inner = run_farcall({"kernel", "fetch", "--arhc", "x"});
  EXPECT_THAT(of_inner.err, StartsWith("error: there is no option --arhc; did you mean --arch? "));
  EXPECT_THAT(of_inner.err, HasSubstr("farcall kernel fetch --help"));
  const Finished choice = run_farcall({"vm", "lst"});
  EXPECT_EQ(choice.exit_code, 2);
  EXPECT_THAT(choice.err, StartsWith("error: ACTION: there is no 'lst'; did you mean list? "
                                     "Expected one of: list, clean [usage.bad-argument]\n"));
  const Finished code = run_farcall({"explain", "call.out-of-rang"});
  EXPECT_EQ(code.exit_code, 2);
  EXPECT_THAT(code.err, HasSubstr("did you mean call.out-of-range?"));
}

TEST(Words, TheNearestIsNear) {
  const std::vector<std::string> known = {"run", "list", "replay"};
  EXPECT_EQ(command::nearest("rnu", known), "run");
  EXPECT_EQ(command::nearest("lst", known), "list");
  EXPECT_EQ(command::nearest("repaly", known), "replay");
  EXPECT_EQ(command::nearest("conformance", known), std::nullopt);
  EXPECT_EQ(command::nearest("run", {}), std::nullopt);
}

TEST(Words, AShardWithoutCellsSaysSo) {
  const ScratchFolder folder;
  const std::string path = folder.write("one.case", "-- asm\nmov %r0, 1\nexit\n-- result\n1\n");
  std::size_t empty = 0;
  for (const char* const part : {"1/2", "2/2"}) {
    const Finished run = run_farcall({"run", path, "--shard", part});
    EXPECT_EQ(run.exit_code, 0) << run.err;
    empty +=
        run.out.find(std::string("part ") + part[0] + " of 2 has no cells") != std::string::npos
            ? 1U
            : 0U;
  }
  EXPECT_EQ(empty, 1U);
}

TEST(Words, HelpIsGroupedByWhatPeopleWant) {
  const std::string help = run_farcall({"--help"}).out;
  for (const char* const group :
       {"Run cells", "Look at one cell closely", "Compare schemes, names, addresses and kernels",
        "Look after this machine", "Get help"}) {
    EXPECT_THAT(help, HasSubstr(std::string(group) + ":\n"));
  }
}

TEST(InterruptedBench, SaysHowFarItCame) {
  process::ipstream out;
  process::child farcall(farcall_binary().string(), "bench", "--programs", "1000000",
                         process::std_out > out, process::std_err > process::null);
  ASSERT_TRUE(eventually([&] { return !children_of(farcall.id()).empty(); }));
  ASSERT_EQ(::kill(farcall.id(), SIGINT), 0);
  std::string line;
  std::getline(out, line);
  farcall.wait();
  EXPECT_THAT(line, ContainsRegex("^ended by SIGINT after [0-9]+ of 1000000 programs: "));
  EXPECT_EQ(farcall.exit_code(), 128 + SIGINT);
}

struct LongCommand {
  std::string name;
  std::vector<std::string> arguments;
  std::string said;  // to standard output or error
};

// None of these would end by itself within the bound: farcall waits 10 s for a JIT.
class InterruptedCommand : public testing::TestWithParam<LongCommand> {};

TEST_P(InterruptedCommand, EndsAtOnceAndSaysWhatItDidNotDo) {
  const ScratchFolder folder;
  std::vector<std::string> arguments = GetParam().arguments;
  if (arguments.front() == "run") {
    arguments.push_back(folder.write("four.case", kFourCells));
  }
  const std::string said = (folder.path() / "said").string();
  process::child farcall(farcall_binary().string(), process::args(arguments),
                         (process::std_out & process::std_err) > said);
  ASSERT_TRUE(eventually([&] { return !children_of(farcall.id()).empty(); }));
  const auto begin = std::chrono::steady_clock::now();
  ASSERT_EQ(::kill(farcall.id(), SIGINT), 0);
  farcall.wait();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(8));
  EXPECT_EQ(farcall.exit_code(), 128 + SIGINT);
  EXPECT_THAT(contents(said), HasSubstr("ended by SIGINT" + GetParam().said));
}

INSTANTIATE_TEST_SUITE_P(
    Commands, InterruptedCommand,
    testing::Values(LongCommand{"Run", {"run", "--jit", "exec:sleep 1000"}, "; 4 cells not run"},
                    LongCommand{"Fuzz",
                                {"fuzz", "--programs", "100", "--jit", "exec:sleep 1000"},
                                ": without --corpus, nothing is kept"},
                    LongCommand{"Faults",
                                {"faults", "--jit", "exec:sleep 1000"},
                                ": not all faults were tried, and no matrix is shown"}),
    [](const auto& of) { return of.param.name; });

// What `command` shows on a terminal of so many columns; script (of Debian's essential bsdutils)
// is one.
std::string on_terminal(const std::string& variables, const std::string& command,
                        int columns = 80) {
  return run_program("/usr/bin/script",
                     {"-qec",
                      "stty cols " + std::to_string(columns) + "; env " + variables + " " +
                          farcall_binary().string() + " " + command,
                      "/dev/null"})
      .out;
}

bool is_ascii(const std::string& text) {
  return std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

TEST(Terminal, ThatIsDumbGetsNoEscapes) {
  const std::string run = "run " + (cases_folder() / "calls").string();
  EXPECT_THAT(on_terminal("-u NO_COLOR TERM=xterm LANG=C.UTF-8", run), HasSubstr("\033["));
  EXPECT_THAT(on_terminal("-u NO_COLOR TERM=dumb LANG=C.UTF-8", run), Not(HasSubstr("\033")));
}

TEST(Terminal, OfAnotherLocaleGetsAscii) {
  const std::string run = "run " + (cases_folder() / "reach/far-2p.case").string();
  const std::string utf8 = on_terminal("-u LC_ALL -u LC_CTYPE LANG=C.UTF-8 TERM=dumb", run);
  EXPECT_THAT(utf8, HasSubstr("main[0] → callee"));
  EXPECT_THAT(utf8, HasSubstr("bytes ✓"));
  const std::string ascii = on_terminal("-u LC_ALL -u LC_CTYPE LANG=C TERM=dumb", run);
  EXPECT_THAT(ascii, HasSubstr("main[0] > callee"));
  EXPECT_THAT(ascii, HasSubstr("bytes ok"));
  EXPECT_TRUE(is_ascii(ascii)) << ascii;
  const std::string layout =
      "dump --stage=layout " + (cases_folder() / "reach/far-2p.case").string();
  EXPECT_THAT(on_terminal("-u LC_ALL -u LC_CTYPE LANG=C TERM=dumb", layout),
              AllOf(HasSubstr("<"), Not(HasSubstr("?"))));
  // A file is UTF-8 everywhere.
  const std::string file =
      tests::run_program(farcall_binary(), {"run", (cases_folder() / "reach/far-2p.case").string()},
                         {{"LC_ALL", "C"}})
          .out;
  EXPECT_THAT(file, HasSubstr("main[0] → callee"));
}

TEST(Terminal, ThatIsNarrowIsNotOverrun) {
  const std::string shown =
      on_terminal("-u LC_ALL -u LC_CTYPE LANG=C TERM=xterm", "run " + cases_folder().string(), 24);
  std::size_t bars = 0;
  const std::regex bar("\r([^\r\n\033]*cells[^\r\n\033]*)");
  for (auto at = std::sregex_iterator(shown.begin(), shown.end(), bar);
       at != std::sregex_iterator(); ++at) {
    EXPECT_LT(at->str(1).size(), 24U) << at->str(1);
    ++bars;
  }
  EXPECT_GT(bars, 0U) << shown;
}

TEST(Terminal, WordsInAscii) {
  EXPECT_EQ(command::to_ascii("a → b ✓ 5 µs … █░"), "a > b ok 5 us ... #.");
  EXPECT_EQ(command::to_ascii("naïve 日本"), "na?ve ??");
  EXPECT_TRUE(command::is_utf8(nullptr, nullptr, "de_DE.UTF-8"));
  EXPECT_TRUE(command::is_utf8("", "C.utf8", "C"));
  EXPECT_FALSE(command::is_utf8("C", "C.UTF-8", "C.UTF-8"));
  EXPECT_FALSE(command::is_utf8(nullptr, nullptr, "de_DE.ISO-8859-1"));
  EXPECT_FALSE(command::is_utf8(nullptr, nullptr, nullptr));
}

TEST(Explain, SaysOfEveryCodeWhatItMeans) {
  const std::string list = run_farcall({"explain"}).out;
  for (std::size_t i = 0; i < kErrorCodeCount; ++i) {
    const std::string code(name(static_cast<ErrorCode>(i)));
    EXPECT_THAT(list, ContainsRegex("(^|\n)" + std::regex_replace(code, std::regex("\\."), "\\.") +
                                    " +[A-Za-z0-9-]"));
  }
  const Finished one = run_farcall({"explain", "call.out-of-range"});
  EXPECT_EQ(run_farcall({"explain", "[call.out-of-range]"}).out, one.out);
  EXPECT_EQ(one.exit_code, 0);
  EXPECT_THAT(one.out, StartsWith("call.out-of-range: a call cannot carry"));
  EXPECT_THAT(one.out, HasSubstr("\n  to blame: the code under test: exit code 1\n"));
  EXPECT_THAT(one.out, HasSubstr("\n  for instance: "));
  EXPECT_THAT(one.out, HasSubstr("\n  what to do: "));
}

TEST(Explain, SaysWhatEachInstructionDoes) {
  const std::string table = run_farcall({"explain", "assembly"}).out;
  for (const char* const row :
       {"\nstb sth stw stdw +.*memory = the number\n",
        "\nacquire ldxw, .*before all later accesses\n",
        "\nrelease stxw, .*after all earlier accesses\n",
        "\ncast_kernel cast_user mov_percpu +%dst, %src +dst = src, a pointer",
        "\nmay_goto +label +does nothing; once", "\njsle jsle32 +.*dst <= source, with sign\n",
        "\nexit +returns r0\n$"}) {
    EXPECT_THAT(table, ContainsRegex(row));
  }
}

// ci/bless writes them.
TEST(Explain, TheGrammarHasItsTables) {
  const std::string grammar = contents(cases_folder() / "README.md");
  EXPECT_THAT(grammar, HasSubstr(run_farcall({"explain", "--markdown"}).out));
  EXPECT_THAT(grammar, HasSubstr(run_farcall({"explain", "assembly", "--markdown"}).out));
}

std::string completed(const std::string& words) {
  const ScratchFolder folder;
  const std::string script = folder.write("farcall", run_farcall({"completion", "bash"}).out);
  return run_program("/bin/bash", {"-c", "source '" + script + "'; COMP_WORDS=(" + words +
                                             "); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _farcall; "
                                             "echo \"${COMPREPLY[@]}\""})
      .out;
}

TEST(Completion, OfBashKnowsCommandsOptionsAndValues) {
  EXPECT_EQ(completed("farcall sch"), "schemes\n");
  EXPECT_EQ(completed("farcall run --fil"), "--filter\n");
  EXPECT_EQ(completed("farcall run --format j"), "json junit\n");
  EXPECT_EQ(completed("farcall dump cases/a.case --stage = xl"), "xlated\n");
  EXPECT_EQ(completed("farcall vm cl"), "clean\n");
  EXPECT_EQ(completed("farcall kernel sel"), "selftest\n");
  EXPECT_EQ(completed("farcall kernel fetch --so"), "--source\n");
  EXPECT_EQ(completed("farcall kernel distance --arch ri"), "riscv64\n");
  EXPECT_EQ(completed("farcall run cas"), "\n");  // bash looks for files by itself
}

TEST(Completion, OfOtherShellsIsTheirSyntax) {
  const ScratchFolder folder;
  const std::string zsh = folder.write("_farcall", run_farcall({"completion", "zsh"}).out);
  const Finished zsh_reads = run_program("/bin/zsh", {"-n", zsh});
  EXPECT_EQ(zsh_reads.exit_code, 0) << zsh_reads.err;
  const std::string fish = folder.write("farcall.fish", run_farcall({"completion", "fish"}).out);
  const Finished fish_knows =
      run_program("/usr/bin/fish",
                  {"-c", "source " + fish +
                             "; complete -C 'farcall run --form'; "
                             "complete -C 'farcall sch'; complete -C 'farcall run --format ju'; "
                             "complete -C 'farcall kernel sel'; complete -C 'farcall kernel list "
                             "--'; complete -C 'farcall kernel fetch --so'"});
  EXPECT_THAT(fish_knows.out, HasSubstr("--format\t"));
  EXPECT_THAT(fish_knows.out, HasSubstr("schemes\t"));
  EXPECT_THAT(fish_knows.out, HasSubstr("junit\t"));
  EXPECT_THAT(fish_knows.out, HasSubstr("selftest\t"));
  EXPECT_THAT(fish_knows.out, HasSubstr("--source\t"));
  EXPECT_THAT(fish_knows.out, Not(HasSubstr("--filter\t")));  // of another `list`
}

// The first words of what fish offers after each of these.
std::vector<std::string> offered_by_fish(const std::string& before) {
  const ScratchFolder folder;
  const std::string script = folder.write("farcall.fish", run_farcall({"completion", "fish"}).out);
  std::istringstream lines(
      run_program("/usr/bin/fish", {"-c", "source " + script + "; complete -C '" + before + "'"})
          .out);
  std::vector<std::string> words;
  for (std::string line; std::getline(lines, line);) {
    words.push_back(line.substr(0, line.find('\t')));
  }
  return words;
}

TEST(Completion, OfFishIsOfTheCommandThatIsThereAndOfNoOtherOfItsName) {
  const auto of_list = offered_by_fish("farcall list --");
  EXPECT_THAT(of_list, testing::Contains("--filter"));
  const auto has_no_filter =
      testing::AllOf(testing::Contains("--help"), testing::Not(testing::Contains("--filter")));
  EXPECT_THAT(offered_by_fish("farcall vm list --"), has_no_filter);
  EXPECT_THAT(offered_by_fish("farcall kernel list --"), has_no_filter);
  EXPECT_THAT(offered_by_fish("farcall vm --"), has_no_filter);
  // A file may be called like a command, and a command's word may stand anywhere.
  const auto of_run = offered_by_fish("farcall run --");
  EXPECT_EQ(offered_by_fish("farcall run list --"), of_run);
  EXPECT_EQ(offered_by_fish("farcall run kernel list --"), of_run);
  EXPECT_THAT(offered_by_fish("farcall vm "), testing::UnorderedElementsAre("clean", "list"));
  EXPECT_THAT(offered_by_fish("farcall vm list "), testing::Not(testing::Contains("clean")));
  EXPECT_THAT(offered_by_fish("farcall kernel fetch --arch ri"), testing::ElementsAre("riscv64"));
}

TEST(Manual, IsAPageThatManShows) {
  const ScratchFolder folder;
  const std::string page = folder.write("farcall.1", run_farcall({"manual"}).out);
  const Finished lint = run_program("/usr/bin/mandoc", {"-T", "lint", "-W", "warning", page});
  EXPECT_EQ(lint.exit_code, 0) << lint.out;
  const std::string shown = std::regex_replace(
      run_program("/usr/bin/mandoc", {"-T", "ascii", page}).out, std::regex(".\b"), "");
  EXPECT_THAT(shown, HasSubstr("--filter GLOB"));
  EXPECT_THAT(shown, HasSubstr("farcall kernel fetch "));
  EXPECT_THAT(shown, HasSubstr("EXIT STATUS"));
}

TEST(Resolve, AddressesThatTheKernelHidesAreNamed) {
  const ScratchFolder folder;
  const std::string hidden =
      folder.write("kallsyms", "0000000000000000 T _text\n0000000000000000 t f\n");
  const Finished resolve = run_farcall({"resolve", hidden});
  EXPECT_EQ(resolve.exit_code, 2);
  EXPECT_THAT(resolve.err, HasSubstr("every address is 0"));
  EXPECT_THAT(resolve.err, HasSubstr("kptr_restrict"));
}

TEST(Messages, AreShortWhateverTheInput) {
  const ScratchFolder folder;
  const std::string path = folder.write("long", std::string(3'000'000, 'x') + "\n");
  const Finished resolve = run_farcall({"resolve", path});
  EXPECT_EQ(resolve.exit_code, 2);
  EXPECT_THAT(resolve.err, HasSubstr("is not a symbol"));
  EXPECT_LT(resolve.err.size(), 3000U);
}

TEST(Messages, AreNotThoseOfALibrary) {
  const ScratchFolder folder;
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"replay", folder.write("empty.json", "{}")},
        {"replay", folder.write("text.json", "x")},
        {"merge", folder.write("part.json", R"({"cells": []})"), "--output", "/dev/null"},
        {"run", "--from", folder.write("image.json", R"({"farcall": {"format": 1}})")}}) {
    const Finished finished = run_farcall(arguments);
    EXPECT_EQ(finished.exit_code, 2) << finished.out;
    const std::string said = finished.out + finished.err;
    EXPECT_THAT(said, Not(HasSubstr("json.exception")));
    EXPECT_THAT(said, ContainsRegex("error: |ERROR .*\n.*json.malformed"));
  }
}

}  // namespace
}  // namespace farcall::run::prompt_test
