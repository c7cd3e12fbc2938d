// The real gdb-multiarch at the real guest: scripts of commands on standard input, as a user types
// them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/process.hpp>
#include <csignal>
#include <fstream>
#include <regex>

#include "tests/farcall_process.hpp"

namespace farcall::run::debug_test {
namespace {

using namespace tests;

using testing::ContainsRegex;
using testing::HasSubstr;

// Two functions 2 PiB apart (61 TiB with hash), in machines of each kind.
constexpr const char* kCase = R"(# For a debugger.
-- matrix
endian le be
cpu    power8 power9 power10
mmu    hash radix
-- mem
2a 00 00 00 00 00 00 2a
-- asm
mov %r6, 40
ldxb %r2, [%r1+0]
call local callee
add %r0, %r6
exit
callee:
jeq %r2, 42, +1
exit
mov %r0, 2
exit
-- place
main   = text+64K
callee = vmalloc+0x12a468
-- result
42
)";

class Debug : public testing::TestWithParam<const char*> {
 protected:
  std::string cell() const { return folder_.write("far.case", kCase) + "@" + GetParam(); }

  // What gdb and farcall say to `commands`.
  Finished debug(const std::string& commands, std::vector<std::string> options = {}) const {
    options.insert(options.begin(), {"debug", cell()});
    return run_farcall(options, "", commands);
  }

  // What `farcall symbols` calls the function.
  std::string symbol(const std::string& function) const {
    const std::string all = run_farcall({"symbols", cell()}).out;
    std::smatch found;
    std::regex_search(all, found, std::regex("bpf_prog_[0-9a-f]{16}_" + function));
    return found.str();
  }
  static std::string callee_address() {
    return std::string(GetParam()).ends_with("hash") ? "c0003d000012a468" : "c00800000012a468";
  }

  ScratchFolder folder_;
};

INSTANTIATE_TEST_SUITE_P(Machines, Debug,
                         testing::Values("le-power8-hash", "le-power9-radix", "le-power10-hash",
                                         "be-power8-hash", "be-power9-radix", "be-power10-radix"),
                         [](const auto& machine) {
                           return std::regex_replace(std::string(machine.param), std::regex("-"),
                                                     "_");
                         });

TEST_P(Debug, StopsAtTheEntryAndKnowsWhereItIs) {
  const Finished finished = debug("farcall where\nfarcall layout\n");
  EXPECT_EQ(finished.exit_code, 0) << finished.err;
  EXPECT_THAT(finished.out, HasSubstr("At the program's entry.\n"
                                      "main: prologue\n"
                                      "  c000000000010000  mflr r0\n"));
  EXPECT_THAT(finished.out, ContainsRegex("bpf_prog_[0-9a-f]{16}_main, text\\+0x10000"));
  EXPECT_THAT(finished.out, ContainsRegex("c000000000010000 +[0-9]+ bytes  main .*← pc"));
  EXPECT_THAT(finished.out, HasSubstr("bytes  callee       vmalloc+0x12a468"));
  EXPECT_THAT(finished.out, ContainsRegex(" stack .*← r1"));
}

// Break at the far callee, step over a call, finish, read BPF's registers.
TEST_P(Debug, StopsAtACallSiteAndAtTheFarCallee) {
  const Finished finished = debug("farcall target\nbreak *" + symbol("callee") +
                                      "\ncontinue\nfarcall where\nfarcall regs\nfinish\n"
                                      "farcall where\ncontinue\n",
                                  {"--at", "main[0]"});
  EXPECT_THAT(finished.out, HasSubstr("At the call site main[0].\nmain+2: call local callee\n"));
  const std::string callee = callee_address();
  EXPECT_THAT(finished.out, ContainsRegex("main\\[0\\] → callee, at c0000000000100[0-9a-f]{2}\n"
                                          "  should land at " +
                                          callee +
                                          "  bpf_prog_.*_callee\n"
                                          "  will land at   " +
                                          callee +
                                          "  bpf_prog_.*_callee  by the registers\n"
                                          "  right\n"));
  EXPECT_THAT(finished.out,
              HasSubstr("callee+0: jeq %r2, 42, +1\n  " + callee + "  cmpdi r4,42\n"));
  EXPECT_THAT(finished.out, ContainsRegex("r1   r3   [0-9a-f]{16}  mem\n"
                                          "r2   r4   000000000000002a\n"));
  EXPECT_THAT(finished.out, HasSubstr("r6   r27  0000000000000028\n"));
  EXPECT_THAT(finished.out, HasSubstr("main+2: call local callee\n"));
  EXPECT_THAT(finished.out, HasSubstr("The program has returned: r0 = 0x2a.\n"));
}

TEST_P(Debug, StepsOverTheCall) {
  const Finished finished =
      debug("nexti\nfarcall where\nprint $r3\nfarcall step\n", {"--at", "main[0]"});
  EXPECT_THAT(finished.out,
              ContainsRegex("main\\+2: call local callee\n  [0-9a-f]{16}  mr r8,r3\n"));
  EXPECT_THAT(finished.out, HasSubstr("$1 = 2\n"));
  EXPECT_THAT(finished.out, HasSubstr("main+3: add %r0, %r6\n"));
}

// Names of BPF functions are those that people know; listings go on with those of kallsyms.
TEST_P(Debug, BreaksByBpfNames) {
  const Finished finished = debug("break callee\ncontinue\nfarcall where\nbt\n");
  EXPECT_EQ(finished.exit_code, 0) << finished.err;
  EXPECT_THAT(finished.out, HasSubstr("callee+0: jeq %r2, 42, +1\n")) << finished.err;
}

// The bug of 2018: what the step runs into is said.
TEST(DebugStray, AStepThatEndsInAnInterruptSaysSo) {
  const ScratchFolder folder;
  const std::string cell = (cases_folder() / "reach/far-2p.case").string();
  std::string image = run_farcall({"dump", cell, "--stage=image", "--json"}).out;
  image.replace(image.find("0x3d80c008"), 10, "0x3d80c000");
  const std::string from = folder.write("stray.json", image);
  const Finished finished =
      run_farcall({"debug", "--from", from, "--at", "main[0]"}, "", "farcall step\n");
  EXPECT_EQ(finished.exit_code, 0) << finished.err;
  EXPECT_THAT(finished.out, HasSubstr("Interrupt 0x400 at c00000000012a468 ended the program.\n"));
}

// One BPF instruction at a time, into the callee and back, up to the end.
TEST_P(Debug, StepsByBpfInstructions) {
  std::string commands;
  for (int i = 0; i < 8; ++i) {
    commands += "farcall step\n";
  }
  const Finished finished = debug(commands + "continue\n");
  std::vector<std::string> seen;
  const std::regex line("(main|callee)\\+[0-9]+: [^\n]*");
  for (std::sregex_iterator at(finished.out.begin(), finished.out.end(), line), end; at != end;
       ++at) {
    seen.push_back(at->str());
  }
  EXPECT_THAT(seen, testing::ElementsAre("main+0: mov %r6, 40", "main+1: ldxb %r2, [%r1+0]",
                                         "main+2: call local callee", "callee+0: jeq %r2, 42, +1",
                                         "callee+2: mov %r0, 2", "callee+3: exit",
                                         "main+3: add %r0, %r6", "main+4: exit"))
      << finished.out << finished.err;
  EXPECT_THAT(finished.out, HasSubstr("The program has returned: r0 = 0x2a.\n"));
}

// With ELFv1 a function's symbol is its descriptor, which stands before the code: gdb breaks at the
// code all the same.
TEST(DebugElfV1, BreaksAtTheCodeBehindADescriptor) {
  std::string text = kCase;
  text.replace(text.find("endian le be"), 12, "endian be");
  text.insert(text.find("-- mem"), "abi elfv1\n");
  const ScratchFolder folder;
  const std::string path = folder.write("far.case", text);
  for (const std::string cell : {"@be-power8-hash-elfv1", "@be-power9-radix-elfv1"}) {
    const std::string all = run_farcall({"symbols", path + cell}).out;
    std::smatch symbol;
    ASSERT_TRUE(
        std::regex_search(all, symbol, std::regex("([0-9a-f]{12})a468 t (bpf_prog.*_callee)")));
    const std::string name = symbol.str(2);
    const std::string code = symbol.str(1) + "a480";  // after 24 bytes
    const std::vector<std::string> debug = {"debug", path + cell, "--at", "main[0]"};
    const Finished finished = run_farcall(debug, "",
                                          "farcall target\nbreak " + name +
                                              "\ncontinue\nfarcall where\nfarcall regs\n"
                                              "finish\nfarcall where\ncontinue\n");
    EXPECT_EQ(finished.exit_code, 0) << finished.err;
    EXPECT_THAT(finished.out, HasSubstr("At the call site main[0].\nmain+2: call local callee\n"));
    EXPECT_THAT(finished.out,
                HasSubstr("  should land at " + code + "  " + name + "\n  will land at   " + code +
                          "  " + name + "  by the registers\n  right\n"));
    EXPECT_THAT(finished.out, HasSubstr("callee+0: jeq %r2, 42, +1\n"));
    EXPECT_THAT(finished.out, HasSubstr("r2   r4   000000000000002a\n"));
    EXPECT_THAT(finished.out, HasSubstr("r6   r27  0000000000000028\n"));
    EXPECT_THAT(finished.out, HasSubstr("main+2: call local callee\n  c0000000000100"));
    EXPECT_THAT(finished.out, HasSubstr("The program has returned: r0 = 0x2a.\n"));
    const Finished over = run_farcall(debug, "", "nexti\nprint $r3\nfarcall step\n");
    EXPECT_THAT(over.out, HasSubstr("$1 = 2\n"));
    EXPECT_THAT(over.out, HasSubstr("main+3: add %r0, %r6\n"));
  }
}

// farcall, its guest, and its gdb, which waits for commands that do not come.
struct Running {
  boost::process::opstream commands;
  boost::process::ipstream out;
  boost::process::child farcall;
  std::vector<int> children;

  // Temporary files are made in `scratch`.
  Running(const std::vector<std::string>& arguments, std::size_t wanted,
          const ScratchFolder& scratch)
      : farcall(farcall_binary().string(), boost::process::args(arguments),
                boost::process::env["TMPDIR"] = scratch.path().string(),
                boost::process::std_in<commands, boost::process::std_out> out,
                boost::process::std_err > boost::process::null) {
    (void)eventually([&] {
      children = children_of(farcall.id());
      return children.size() >= wanted;
    });
  }
};

class DebugEnds : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Signals, DebugEnds, testing::Values(SIGKILL, SIGTERM, SIGHUP));

TEST_P(DebugEnds, AndLeavesNothing) {
  const ScratchFolder scratch;
  Running debug({"debug", (cases_folder() / "reach/far-2p.case").string()}, 3, scratch);
  ASSERT_EQ(debug.children.size(), 3U) << "expected a guest, a gdb, and who removes the files";
  std::string line;
  while (std::getline(debug.out, line) && line != "At the program's entry.") {
  }
  ASSERT_EQ(kill(debug.farcall.id(), GetParam()), 0);
  debug.farcall.wait();
  for (const int child : debug.children) {
    EXPECT_TRUE(eventually([&] { return has_ended(child); }))
        << "process " << child << " still runs";
  }
  EXPECT_TRUE(std::filesystem::is_empty(scratch.path()));
}

// What another front end does: farcall starts no gdb, and ends with it.
TEST(DebugSocket, AnyGdbMayConnect) {
  const ScratchFolder folder;
  const std::string socket = (folder.path() / "gdb").string();
  Running debug({"debug", (cases_folder() / "reach/far-2p.case").string(), "--gdb-socket", socket},
                1, folder);
  std::string line;
  std::getline(debug.out, line);
  EXPECT_THAT(line, testing::AllOf(HasSubstr(socket), HasSubstr("Ctrl-C")));
  std::getline(debug.out, line);
  EXPECT_EQ(line, "gdb-multiarch -x " + socket + ".files/session.gdb");
  boost::process::ipstream gdb_out;
  boost::process::child gdb(boost::process::search_path("gdb-multiarch"), "-q", "-nx", "-batch",
                            "-x", socket + ".files/session.gdb", "-ex", "kill",
                            boost::process::std_out > gdb_out,
                            boost::process::std_err > boost::process::null);
  std::string said;
  while (std::getline(gdb_out, line)) {
    said += line + "\n";
  }
  gdb.wait();
  EXPECT_THAT(said, HasSubstr("At the program's entry.\nmain: prologue\n"));
  debug.farcall.wait();  // its guest was killed
  EXPECT_EQ(debug.farcall.exit_code(), 0);
  EXPECT_FALSE(std::filesystem::exists(socket));
  EXPECT_FALSE(std::filesystem::exists(socket + ".files"));
}

// Of folders: gdb has its own rules for words.
TEST(DebugBlanks, AreNoTrouble) {
  const ScratchFolder folder;
  const std::filesystem::path home = folder.path() / "two words\"";
  std::filesystem::create_directory(home);
  std::filesystem::copy(farcall_binary().parent_path() / "images", home / "images");
  std::filesystem::copy_file(farcall_binary(), home / "farcall");
  const std::string cell = folder.write("far.case", kCase) + "@le-power9-radix";
  const Finished finished = tests::run_program(home / "farcall", {"debug", cell, "--at", "main[0]"},
                                               {{"TMPDIR", home.string()}}, "farcall target\n");
  EXPECT_EQ(finished.exit_code, 0) << finished.err;
  EXPECT_THAT(finished.out, HasSubstr("At the call site main[0].\n"));
  EXPECT_THAT(finished.out, HasSubstr("_callee  by the registers\n  right\n"));
}

TEST(DebugPrint, SaysWhatToType) {
  const ScratchFolder folder;
  const std::string cell = (cases_folder() / "reach/far-2p.case").string();
  const Finished finished =
      tests::run_program(farcall_binary(), {"debug", cell, "--at", "main[0]", "--print"},
                         {{"TMPDIR", folder.path().string()}, {"XDG_RUNTIME_DIR", ""}});
  std::smatch found;
  ASSERT_TRUE(std::regex_match(finished.out, found,
                               std::regex("(.*) debug (.*) --at (.*) --gdb-socket "
                                          "(.*)\ngdb-multiarch -x (.*)\\.files/session.gdb\n")))
      << finished.out;
  EXPECT_EQ(found[1], farcall_binary().string());
  EXPECT_EQ(found[2], cell);
  EXPECT_EQ(found[3], "'main[0]'");
  EXPECT_EQ(found[4], found[5]);
  // Nobody else can have made the socket: its folder is ours alone.
  const auto home = std::filesystem::path(found[4].str()).parent_path();
  EXPECT_EQ(home.parent_path(), folder.path());
  EXPECT_EQ(std::filesystem::status(home).permissions(), std::filesystem::perms::owner_all);
  std::filesystem::permissions(home, std::filesystem::perms::all);
  const Finished open =
      tests::run_program(farcall_binary(), {"debug", cell, "--print"},
                         {{"TMPDIR", folder.path().string()}, {"XDG_RUNTIME_DIR", ""}});
  EXPECT_EQ(open.exit_code, 2);
  EXPECT_THAT(open.err, HasSubstr(home.string() + ": error: expected a folder that is yours"));
}

TEST(Console, ShowsWhatTheGuestSays) {
  const ScratchFolder folder;
  const std::string far = folder.write("far.case", kCase);
  EXPECT_EQ(run_farcall({"console", far + "@le-power9-radix"}).out,
            "farcall: little-endian guest, radix translation\n");
  EXPECT_EQ(run_farcall({"console", far + "@be-power8-hash"}).out,
            "farcall: big-endian guest, hash translation\n");
}

TEST(DebugRefusals, AreNamed) {
  const std::string cell = (cases_folder() / "reach/far-2p.case").string();
  const Finished no_site = run_farcall({"debug", cell, "--at", "main[7]"});
  EXPECT_EQ(no_site.exit_code, 2);
  EXPECT_THAT(no_site.err, HasSubstr("expected one of: main[0] [usage.bad-argument]"));
  const ScratchFolder folder;
  const std::string there = folder.write("there", "kept");
  const Finished taken = run_farcall({"debug", cell, "--gdb-socket", there});
  EXPECT_EQ(taken.exit_code, 2);
  EXPECT_THAT(taken.err, HasSubstr("there is " + there + " already"));
  EXPECT_TRUE(std::filesystem::is_regular_file(there));
  std::filesystem::create_directory(folder.path() / "gdb.files");
  const Finished files =
      run_farcall({"debug", cell, "--gdb-socket", (folder.path() / "gdb").string()});
  EXPECT_EQ(files.exit_code, 2);
  EXPECT_TRUE(std::filesystem::is_directory(folder.path() / "gdb.files"));
  const Finished nowhere =
      run_farcall({"debug", cell, "--gdb-socket", (folder.path() / "none/gdb").string()});
  EXPECT_EQ(nowhere.exit_code, 2);
  EXPECT_THAT(nowhere.err, HasSubstr("there is no folder " + (folder.path() / "none").string()));
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "none"));
  const Finished no_gdb = run_farcall({"debug", cell}, "/nonexistent");
  EXPECT_EQ(no_gdb.exit_code, 3);
  EXPECT_THAT(no_gdb.err, HasSubstr("[machine.no-gdb]\n  apt-get install gdb-multiarch"));
}

}  // namespace
}  // namespace farcall::run::debug_test
