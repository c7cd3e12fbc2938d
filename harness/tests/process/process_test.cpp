#include "process/process.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/types.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <thread>
#include <utility>

namespace farcall::process {
namespace {

// What comes out of a pipe until nobody writes to it any more.
std::string read_to_end(int descriptor) {
  std::string text;
  std::array<char, 256> piece = {};
  for (ssize_t got = 0; (got = ::read(descriptor, piece.data(), piece.size())) > 0;) {
    text.append(piece.data(), static_cast<std::size_t>(got));
  }
  return text;
}

// Up to the end of a line, which is left out.
std::string read_line(int descriptor) {
  std::string text;
  for (char letter = 0; ::read(descriptor, &letter, 1) == 1 && letter != '\n';) {
    text += letter;
  }
  return text;
}

// The words that a process was started with, each with a zero byte; empty: its memory is gone, since it
// dies or becomes another program.
std::string command_line(pid_t number) {
  std::ifstream file("/proc/" + std::to_string(number) + "/cmdline", std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// A shell that runs a script and says the number of the process that this starts; once that is `program`.
struct ShellAndChild {
  Process shell;
  pid_t child;
};

ShellAndChild started(const std::string& script, const std::string& program) {
  const Pipe said = make_pipe().value();
  Process shell = Process::start({.program = "/bin/sh",
                                  .arguments = {"-c", script + " & echo $!; wait"},
                                  .input = {},
                                  .output = said.write_end.number()},
                                 {})
                      .value();
  pid_t child = 0;
  std::istringstream(read_line(said.read_end.number())) >> child;
  while (!command_line(child).starts_with(program)) {
    std::this_thread::yield();
  }
  return {std::move(shell), child};
}

// A process with 256 MiB of memory takes a while to die.
TEST(Kill, LeavesNothingThatTheChildStarted) {
  for (int time = 0; time < 5; ++time) {
    ShellAndChild all =
        started("dd if=/dev/zero of=/dev/null bs=256M count=100000 status=none", "dd");
    all.shell.kill();
    EXPECT_EQ(command_line(all.child), "");
  }
}

// It holds the same descriptors as those that die.
TEST(Kill, DoesNotWaitForOneThatLeftTheGroup) {
  ShellAndChild all = started("setsid sleep 1000", "sleep");
  const auto begin = std::chrono::steady_clock::now();
  all.shell.kill();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));  // of ten at most
  EXPECT_TRUE(command_line(all.child).starts_with("sleep"));
  EXPECT_EQ(::kill(all.child, SIGKILL), 0);
}

TEST(Detached, IsInASessionOfItsOwnAndReadsWhatItWasGiven) {
  std::array<int, 2> to = {};
  std::array<int, 2> from = {};
  ASSERT_EQ(::pipe2(to.data(), O_CLOEXEC), 0);
  ASSERT_EQ(::pipe2(from.data(), O_CLOEXEC), 0);
  const FileDescriptor theirs(to[0]);
  FileDescriptor ours(to[1]);
  FileDescriptor written(from[1]);
  const FileDescriptor answer(from[0]);
  // The sixth word of a process's stat is its session; a session's leader has its own number.
  const auto started = start_detached(
      {.program = "/bin/sh",
       .arguments = {"-c", "read -r word; set -- $word $$ $(cat /proc/$$/stat); echo $1 $2 $8"},
       .input = theirs.number(),
       .output = written.number()});
  ASSERT_TRUE(started) << to_string(started.error());
  written = FileDescriptor();
  ASSERT_EQ(::write(ours.number(), "hello\n", 6), 6);
  ours = FileDescriptor();
  std::string word;
  pid_t number = 0;
  pid_t session = 0;
  std::istringstream(read_to_end(answer.number())) >> word >> number >> session;
  EXPECT_EQ(word, "hello");
  EXPECT_NE(number, 0);
  EXPECT_EQ(session, number);
}

TEST(Detached, WhatIsNotThereIsAnError) {
  const auto started = start_detached({.program = "/nonexistent/program", .arguments = {}});
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, ErrorCode::machine_start);
}

}  // namespace
}  // namespace farcall::process
