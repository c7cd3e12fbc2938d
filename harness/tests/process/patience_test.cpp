#include "process/patience.hpp"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/resource.h>

#include <csignal>
#include <stop_token>
#include <thread>

#include "process/process.hpp"

namespace farcall::process {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// A child that wants a CPU all the time.
Result<Process> busy_child() {
  return Process::start({.program = "/bin/sh", .arguments = {"-c", "while :; do :; done"}}, {});
}

// Long enough for one that ends, wherever other work delays it.
constexpr seconds kHang{120};

// As long as a Patience says, but no longer than `most`; true: it is over.
bool is_over_within(Patience& patience, milliseconds most) {
  const auto end = Patience::Clock::now() + most;
  while (Patience::Clock::now() < end) {
    if (patience.left().count() == 0) {
      return true;
    }
    std::this_thread::sleep_for(milliseconds(20));
  }
  return false;
}

// Else who waits as long as it says would have asked once, at the end.
TEST(PatienceTest, IsToBeAskedAgainSoon) {
  auto child = busy_child();
  ASSERT_TRUE(child.has_value());
  Patience patience(seconds(10), child.value().id());
  EXPECT_LE(patience.left(), milliseconds(500));
}

TEST(PatienceTest, EndsForAProcessThatLoops) {
  auto child = busy_child();
  ASSERT_TRUE(child.has_value());
  Patience patience(milliseconds(700), child.value().id());
  EXPECT_LE(patience.left(), milliseconds(700));
  EXPECT_TRUE(is_over_within(patience, kHang));
}

TEST(PatienceTest, EndsForAProcessThatIsStopped) {
  auto child = busy_child();
  ASSERT_TRUE(child.has_value());
  ::kill(child.value().id(), SIGSTOP);
  Patience patience(milliseconds(700), child.value().id());
  EXPECT_TRUE(is_over_within(patience, kHang));
}

TEST(PatienceTest, EndsForAProcessThatNobodyKnows) {
  Patience patience(milliseconds(700), 0);
  EXPECT_TRUE(is_over_within(patience, kHang));
}

// The kernel has not yet added a wait that goes on: that of a process which never had a CPU.
TEST(PatienceTest, WhoWantsACpuAndHasNotRunHasWaitedAllTheTime) {
  const CpuUse before = {.ran = milliseconds(5), .waited = milliseconds(3), .wants_cpu = true};
  // Beside it a thread that runs now and then: it is not the one who waits.
  const CpuUses looked = {{1, before}, {2, {.ran = milliseconds(9)}}};
  const auto counted = [&](const CpuUse& after) {
    CpuUses uses = {{1, after}, {2, {.ran = milliseconds(10)}}};
    return count_wait(looked, uses, milliseconds(700));
  };
  EXPECT_EQ(counted(before), milliseconds(700));
  EXPECT_EQ(counted({.ran = milliseconds(5), .waited = milliseconds(3), .wants_cpu = false}),
            milliseconds(0));
  EXPECT_EQ(counted({.ran = milliseconds(6), .waited = milliseconds(40), .wants_cpu = true}),
            milliseconds(37));
  CpuUses uncounted = {{1, {.wants_cpu = true}}};
  EXPECT_EQ(count_wait(uncounted, uncounted, milliseconds(700)), milliseconds(0));
}

TEST(PatienceTest, AWaitThatGoesOnIsCountedOnce) {
  const CpuUse starved = {.ran = milliseconds(5), .waited = milliseconds(3), .wants_cpu = true};
  const CpuUses first = {{1, starved}};
  CpuUses second = {{1, starved}};
  EXPECT_EQ(count_wait(first, second, milliseconds(700)), milliseconds(700));
  CpuUses third = {{1, {.ran = milliseconds(6), .waited = milliseconds(703), .wants_cpu = true}}};
  EXPECT_EQ(count_wait(second, third, milliseconds(10)), milliseconds(0));
}

// On the same CPU, somebody who is 68 times as important.
TEST(PatienceTest, LastsForAProcessThatWaitsForACpu) {
  auto child = busy_child();
  ASSERT_TRUE(child.has_value());
  cpu_set_t one;
  ::sched_getaffinity(0, sizeof(one), &one);
  std::size_t cpu = 0;
  while (!CPU_ISSET(cpu, &one)) {
    ++cpu;
  }
  CPU_ZERO(&one);
  CPU_SET(cpu, &one);
  ASSERT_EQ(::sched_setaffinity(child.value().id(), sizeof(one), &one), 0);
  ASSERT_EQ(::setpriority(PRIO_PROCESS, static_cast<id_t>(child.value().id()), 19), 0);
  const std::jthread important([&one](const std::stop_token& stop) {
    ::sched_setaffinity(0, sizeof(one), &one);
    while (!stop.stop_requested()) {
    }
  });
  Patience patience(seconds(1), child.value().id());
  EXPECT_FALSE(is_over_within(patience, seconds(3)));
}

}  // namespace
}  // namespace farcall::process
