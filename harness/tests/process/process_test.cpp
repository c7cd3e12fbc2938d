#include "process/process.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/types.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>

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

bool runs(pid_t number) {
  std::ifstream file("/proc/" + std::to_string(number) + "/cmdline");
  return file.peek() !=
         std::ifstream::traits_type::eof();  // one that is only to be reaped has none
}

// A process with 256 MiB of memory takes a while to die.
TEST(Kill, LeavesNothingThatTheChildStarted) {
  constexpr const char* kScript =
      "dd if=/dev/zero of=/dev/null bs=256M count=100000 status=none & echo $!; wait";
  auto from = make_pipe();
  ASSERT_TRUE(from);
  for (int time = 0; time < 5; ++time) {
    auto child = Process::start({.program = "/bin/sh",
                                 .arguments = {"-c", kScript},
                                 .input = {},
                                 .output = from.value().write_end.number()},
                                {});
    ASSERT_TRUE(child) << to_string(child.error());
    pid_t grandchild = 0;
    std::istringstream(read_line(from.value().read_end.number())) >> grandchild;
    ASSERT_TRUE(runs(grandchild));
    child.value().kill();
    EXPECT_FALSE(runs(grandchild));
  }
}

// It is told from one that dies by time only.
TEST(Kill, DoesNotWaitForGoodForOneThatLeftTheGroup) {
  auto from = make_pipe();
  ASSERT_TRUE(from);
  auto child = Process::start({.program = "/bin/sh",
                               .arguments = {"-c", "setsid sleep 1000 & echo $!; wait"},
                               .input = {},
                               .output = from.value().write_end.number()},
                              {});
  ASSERT_TRUE(child) << to_string(child.error());
  pid_t stranger = 0;
  std::istringstream(read_line(from.value().read_end.number())) >> stranger;
  while (::getpgid(stranger) != stranger) {
    std::this_thread::yield();
  }
  child.value().kill();
  EXPECT_TRUE(runs(stranger));
  EXPECT_EQ(::kill(stranger, SIGKILL), 0);
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
