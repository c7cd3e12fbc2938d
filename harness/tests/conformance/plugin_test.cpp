// The plugin as the suite's runner starts it: a process a call, the program on its standard input.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include "tests/paths.hpp"
#include "tests/program.hpp"

namespace farcall::conformance::plugin_test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

// mov %r0, 42; exit
constexpr const char* kFortyTwo = "b7 00 00 00 2a 00 00 00  95 00 00 00 00 00 00 00\n";
// ldxb %r0, [%r1]; exit
constexpr const char* kFirstByte = "71 10 00 00 00 00 00 00 95 00 00 00 00 00 00 00";
// call local f; exit; f: mov %r0, 7; exit
constexpr const char* kCall =
    "85 10 00 00 01 00 00 00 95 00 00 00 00 00 00 00 b7 00 00 00 07 00 00 00 95 00 00 00 00 00 00 "
    "00";

using Answer = tests::Finished;

// Servers are found in a runtime folder of the test's own, and end when it goes.
class Plugin : public testing::Test {
 protected:
  ~Plugin() override {
    for (const int server : servers()) {
      ::kill(server, SIGKILL);
    }
  }

  Answer call(const std::vector<std::string>& arguments, const std::string& program) {
    return tests::run_program(tests::build_dir() / "farcall-bpf-plugin", arguments,
                              {{"XDG_RUNTIME_DIR", runtime_.path().string()}}, program);
  }

  // Processes whose command line names the runtime folder.
  std::vector<int> servers() const {
    std::vector<int> found;
    for (const auto& entry : fs::directory_iterator("/proc")) {
      const std::string line = tests::contents(entry.path() / "cmdline");
      if (line.find("farcall-bpf-plugin-server") != std::string::npos &&
          line.find(runtime_.path().string()) != std::string::npos) {
        found.push_back(std::stoi(entry.path().filename()));
      }
    }
    return found;
  }

  tests::ScratchFolder runtime_;
};

TEST_F(Plugin, SaysWhatTheProgramReturnsInEveryWay) {
  const Answer expected{0, "2a\n", ""};
  EXPECT_EQ(call({}, kFortyTwo), expected);
  EXPECT_EQ(call({"--jit"}, kFortyTwo), expected);
  EXPECT_EQ(call({"--interpreter"}, kFortyTwo), expected);
  EXPECT_EQ(call({"", "--jit", "--endian", "be"}, kFortyTwo), expected);
  EXPECT_EQ(call({"--cpu", "power8"}, kFortyTwo), expected);
  EXPECT_EQ(call({"--cpu", "power10", "--placement", "far"}, kFortyTwo), expected);
  EXPECT_EQ(call({"61 62 ", "--jit"}, kFirstByte), (Answer{0, "61\n", ""}));
  EXPECT_EQ(call({"61 62 ", "--interpreter", "--endian", "be"}, kFirstByte),
            (Answer{0, "61\n", ""}));
  EXPECT_EQ(call({"--placement", "far"}, kCall), (Answer{0, "7\n", ""}));
  EXPECT_EQ(call({"--placement", "near"}, kCall), (Answer{0, "7\n", ""}));
}

TEST_F(Plugin, OneServerAnswersAllCallsOfItsOptions) {
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(call({"--jit"}, kFortyTwo).out, "2a\n");
  }
  EXPECT_EQ(servers().size(), 1);
  EXPECT_EQ(call({"--interpreter"}, kFortyTwo).out, "2a\n");
  EXPECT_EQ(servers().size(), 2);
}

// mov %r1, -1; mov %r2, NUMBER; callx %r2 (or call NUMBER); mov %r0, 2; exit
TEST_F(Plugin, HasTheHelpersOfTheSuite) {
  const auto program = [](const std::string& number, const std::string& call) {
    return "b7 01 00 00 ff ff ff ff  b7 02 00 00 " + number + " 00 00 00  " + call +
           "  b7 00 00 00 02 00 00 00  95 00 00 00 00 00 00 00\n";
  };
  for (const char* engine : {"--jit", "--interpreter"}) {
    for (const char* way : {"8d 02 00 00 00 00 00 00", "85 00 00 00 05 00 00 00"}) {
      EXPECT_EQ(call({engine}, program("05", way)), (Answer{0, "2\n", ""})) << engine << way;
    }
    const Answer none = call({engine}, program("06", "8d 02 00 00 00 00 00 00"));
    EXPECT_NE(none.exit_code, 0);
    EXPECT_THAT(none.err, HasSubstr("call through %r2 of helper 6: there is none"));
  }
}

TEST_F(Plugin, ReadsObjects) {
  std::string hex;
  for (const char byte : tests::contents(tests::source_dir() / "cases/c/packet.bpf.o")) {
    char digits[4];
    std::snprintf(digits, sizeof digits, "%02x ", static_cast<unsigned char>(byte));
    hex += digits;
  }
  ASSERT_FALSE(hex.empty());
  std::string memory;
  for (int i = 0; i < 128; ++i) {
    memory += "00 ";
  }
  const Answer jit = call({memory, "--jit", "--elf"}, hex);
  EXPECT_EQ(jit.exit_code, 0) << jit.err;
  EXPECT_EQ(call({memory, "--interpreter", "--elf"}, hex), jit);
}

TEST_F(Plugin, WhatGoesWrongIsATextAndNeverANumber) {
  const auto fails = [&](const std::vector<std::string>& arguments, const std::string& program,
                         const std::string& text) {
    const Answer answer = call(arguments, program);
    EXPECT_NE(answer.exit_code, 0) << text;
    EXPECT_EQ(answer.out, "") << text;
    EXPECT_THAT(answer.err, HasSubstr(text));
  };
  // Beyond the end of memory, in both engines.
  fails({"--jit"}, kFirstByte, "lies in no region");
  fails({"--interpreter"}, kFirstByte, "lies in no region");
  fails({}, "ff 00 00 00 00 00 00 00 95 00 00 00 00 00 00 00", "opcode 0xff is not supported");
  fails({}, "b7 00 00", "expected a multiple of 8");
  fails({}, "", "the program has no instruction");
  fails({}, "b7 0x", "expected bytes of two hex digits");
  fails({"6g"}, kFortyTwo, "memory: expected bytes of two hex digits");
  fails({"--elf"}, "7f 45 4c 46", "");
  fails({"--endian", "middle"}, kFortyTwo, "expected le or be");
  fails({"--fast"}, kFortyTwo, "there is no option '--fast'");
}

TEST_F(Plugin, ADeadGuestIsReplacedAndAKilledServerStartedAgain) {
  ASSERT_EQ(call({"--jit"}, kFortyTwo).out, "2a\n");
  const std::vector<int> first = servers();
  ASSERT_EQ(first.size(), 1);
  // The server's only child is QEMU.
  const std::vector<int> children = tests::children_of(first[0]);
  ASSERT_EQ(children.size(), 1);
  ::kill(children[0], SIGKILL);
  const Answer lost = call({"--jit"}, kFortyTwo);
  EXPECT_NE(lost.exit_code, 0);
  EXPECT_EQ(lost.out, "");
  EXPECT_NE(lost.err, "");
  EXPECT_EQ(call({"--jit"}, kFortyTwo), (Answer{0, "2a\n", ""}));

  ::kill(first[0], SIGKILL);
  EXPECT_TRUE(tests::eventually([&] { return servers() != first; }));
  EXPECT_EQ(call({"--jit"}, kFortyTwo), (Answer{0, "2a\n", ""}));
}

TEST_F(Plugin, CallsAtTheSameTimeShareOneServer) {
  std::vector<std::thread> threads;
  std::array<Answer, 6> answers;
  for (Answer& answer : answers) {
    threads.emplace_back([&] { answer = call({"--jit"}, kFortyTwo); });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  for (const Answer& answer : answers) {
    EXPECT_EQ(answer, (Answer{0, "2a\n", ""}));
  }
  EXPECT_TRUE(tests::eventually([&] { return servers().size() == 1; }));
}

TEST_F(Plugin, ItsFolderIsItsUsersAlone) {
  ASSERT_EQ(call({}, kFortyTwo).exit_code, 0);
  struct stat status = {};
  ASSERT_EQ(::stat((runtime_.path() / "farcall").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0700U);
  fs::permissions(runtime_.path() / "farcall", fs::perms::owner_all | fs::perms::group_read);
  const Answer refused = call({}, kFortyTwo);
  EXPECT_NE(refused.exit_code, 0);
  EXPECT_THAT(refused.err, HasSubstr("expected a folder that is yours"));
}

TEST_F(Plugin, TheServerEndsWhenItsSocketGoes) {
  ASSERT_EQ(call({}, kFortyTwo).exit_code, 0);
  ASSERT_EQ(servers().size(), 1);
  fs::remove_all(runtime_.path() / "farcall");
  EXPECT_TRUE(tests::eventually([&] { return servers().empty(); }));
}

}  // namespace
}  // namespace farcall::conformance::plugin_test
