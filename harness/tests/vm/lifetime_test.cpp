// What ends a machine, what is said then, and that nothing of it outlives whom.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <thread>

#include "guest.hpp"
#include "process/process.hpp"
#include "tests/program.hpp"
#include "vm/command_line.hpp"
#include "vm/guest_memory.hpp"
#include "vm/qmp.hpp"

namespace farcall::vm::lifetime_test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

Machine start() {
  auto machine = Machine::start(spec());
  EXPECT_TRUE(machine.has_value()) << to_string(machine.error());
  return std::move(machine).value();
}

bool exists(int process) {
  return ::kill(process, 0) == 0;
}

// Clock ticks that a process has used, from /proc/PID/stat: fields 14 and 15.
long cpu_ticks(int process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/stat");
  std::string text;
  std::getline(file, text);
  std::istringstream fields(text.substr(text.rfind(')') + 2));
  std::string skipped;
  for (int field = 3; field < 14; ++field) {
    fields >> skipped;
  }
  long user = 0;
  long system = 0;
  fields >> user >> system;
  return user + system;
}

// The value in kB of a line of /proc/PID/status.
long status_kilobytes(int process, const std::string& name) {
  std::ifstream file("/proc/" + std::to_string(process) + "/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(name + ":")) {
      return std::stol(line.substr(name.size() + 1));
    }
  }
  return -1;
}

// The guest's memory, found among our descriptors as nobody outside of the machine should.
std::byte* guest_memory() {
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code error;
    if (std::filesystem::read_symlink(entry, error).string().starts_with("/memfd:farcall-guest")) {
      const int file = ::open(entry.path().c_str(), O_RDWR | O_CLOEXEC);
      void* memory = ::mmap(nullptr, wire::kRamBytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
      ::close(file);
      return memory == MAP_FAILED ? nullptr : static_cast<std::byte*>(memory);
    }
  }
  return nullptr;
}

// Whether the guest sleeps until it is woken up; it may take its time.
bool falls_asleep(const std::byte* memory) {
  const auto& control = *reinterpret_cast<const wire::Control*>(memory + wire::kControlAddress);
  return tests::eventually([&control] { return control.sleeping.load_acquire() == 1U; });
}

TEST(Lifetime, MachineEndsWithItsObjectAndLeavesNoZombie) {
  std::optional<Machine> machine = start();
  const int process = machine->process_id();
  EXPECT_TRUE(exists(process));
  machine.reset();
  EXPECT_FALSE(exists(process));
}

TEST(Lifetime, MachineMoves) {
  Machine first = start();
  const int process = first.process_id();
  Machine second = std::move(first);
  EXPECT_EQ(second.process_id(), process);
  first = start();
  second = std::move(first);
  EXPECT_FALSE(exists(process));
  ASSERT_TRUE(second.submit(std::vector{code_job({kBlr})}).has_value());
  EXPECT_EQ(second.collect().value().size(), 1U);
}

TEST(Lifetime, MissingQemuIsNamedWithItsPackage) {
  const std::string path = std::getenv("PATH");
  ::setenv("PATH", "/nonexistent", 1);
  const auto machine = Machine::start(spec());
  ::setenv("PATH", path.c_str(), 1);
  ASSERT_TRUE(machine.has_error());
  EXPECT_EQ(machine.error().code, ErrorCode::machine_no_qemu);
  EXPECT_THAT(machine.error().hint, HasSubstr("apt-get install qemu-system-ppc"));
}

TEST(Lifetime, MissingImageIsNamed) {
  const auto machine = Machine::start({.image = "/nonexistent/bare-le.bin"});
  ASSERT_TRUE(machine.has_error());
  EXPECT_EQ(machine.error().code, ErrorCode::machine_no_image);
  EXPECT_THAT(machine.error().message, HasSubstr("/nonexistent/bare-le.bin"));
}

TEST(Lifetime, MachinesThatNeverWereAreRefused) {
  const auto machine = Machine::start(spec(model::Endian::big, model::Cpu::power8));
  ASSERT_TRUE(machine.has_error());
  EXPECT_EQ(machine.error().code, ErrorCode::machine_start);
  EXPECT_THAT(machine.error().message, HasSubstr("power8 has no radix"));
}

TEST(Lifetime, QemuThatWillNotStartSaysWhy) {
  // The command line offers an image that is too large for QEMU.
  const tests::ScratchFolder folder;
  const std::string path = folder.write("large-image", "x");
  std::filesystem::resize_file(path, 64 << 20);
  auto machine = Machine::start({.image = path});
  ASSERT_TRUE(machine.has_value());
  ASSERT_TRUE(machine.value().submit(std::vector{code_job({kBlr})}).has_value());
  const auto seen = machine.value().collect();
  ASSERT_TRUE(seen.has_error());
  EXPECT_EQ(seen.error().code, ErrorCode::machine_start);
  EXPECT_THAT(seen.error().message, HasSubstr("QEMU says: qemu-system-ppc64: "));
  EXPECT_THAT(seen.error().message, HasSubstr("exit status 1"));
}

TEST(Lifetime, KilledQemuIsAnErrorAndStaysOne) {
  Machine machine = start();
  ASSERT_TRUE(machine.submit(std::vector{code_job({kBlr})}).has_value());
  ASSERT_TRUE(machine.collect().has_value());
  ::kill(machine.process_id(), SIGKILL);
  ASSERT_TRUE(machine.submit(std::vector{code_job({kBlr})}).has_value());
  const auto seen = machine.collect();
  ASSERT_TRUE(seen.has_error());
  EXPECT_EQ(seen.error().code, ErrorCode::machine_lost);
  EXPECT_THAT(seen.error().message, HasSubstr("signal 9"));
  EXPECT_EQ(machine.submit(std::vector{code_job({kBlr})}).error().code, ErrorCode::machine_lost);
}

TEST(Lifetime, BrokenRunnerReportsItsPanic) {
  Machine machine = start();
  model::Job slow = code_job({kLoop});
  ASSERT_TRUE(machine.submit(std::vector{slow}).has_value());
  ASSERT_TRUE(machine.submit(std::vector{code_job({kBlr})}).has_value());
  // Spoil the second batch while the first runs: the runner traps on it.
  std::byte* memory = guest_memory();
  ASSERT_NE(memory, nullptr);
  reinterpret_cast<wire::BatchHeader*>(memory + wire::kAreasAddress + wire::kAreaBytes)->magic = 0;
  EXPECT_EQ(machine.collect().value().at(0).ending, model::Ending::out_of_budget);
  const auto seen = machine.collect();
  ::munmap(memory, wire::kRamBytes);
  ASSERT_TRUE(seen.has_error());
  EXPECT_EQ(seen.error().code, ErrorCode::machine_runner_fault);
  EXPECT_THAT(seen.error().message, HasSubstr("vector 0x700, srr0 000000000000"));
  EXPECT_THAT(seen.error().message, HasSubstr("farcall: the runner failed: vector 0000000000000700 "
                                              "srr0 "));
}

TEST(Lifetime, IdleMachineUsesNoCpuAndWakesUp) {
  Machine machine = start();
  ASSERT_TRUE(machine.submit(std::vector{code_job({kBlr})}).has_value());
  ASSERT_TRUE(machine.collect().has_value());
  std::byte* memory = guest_memory();
  ASSERT_NE(memory, nullptr);
  ASSERT_TRUE(falls_asleep(memory));
  ::munmap(memory, wire::kRamBytes);
  const long before = cpu_ticks(machine.process_id());
  std::this_thread::sleep_for(1s);
  EXPECT_LE(cpu_ticks(machine.process_id()) - before, 2);  // of 100 a second
  for (int i = 0; i < 200; ++i) {                          // awake, asleep, and on the way between
    const auto before_round = std::chrono::steady_clock::now();
    ASSERT_TRUE(machine.submit(std::vector{code_job({kBlr})}).has_value());
    ASSERT_EQ(machine.collect().value().size(), 1U);
    // A wake-up that is lost costs 4.2 s, until the guest's decrementer runs out.
    ASSERT_LT(std::chrono::steady_clock::now() - before_round, 3s);
    std::this_thread::sleep_for(i * 10us);
  }
}

TEST(Lifetime, AMachineStaysAwakeAsLongAsItIsToldAndNoLonger) {
  Machine machine = start();
  const auto run_one = [&machine] {
    ASSERT_TRUE(machine.submit(std::vector{code_job({kBlr})}).has_value());
    ASSERT_EQ(machine.collect().value().size(), 1U);
  };
  machine.stay_awake(1h);
  run_one();
  std::byte* memory = guest_memory();
  ASSERT_NE(memory, nullptr);
  const auto& control = *reinterpret_cast<wire::Control*>(memory + wire::kControlAddress);
  std::this_thread::sleep_for(200ms);
  EXPECT_EQ(control.sleeping.load_acquire(), 0U);
  // It has begun to look for an hour: what is said now is for the next batch.
  machine.stay_awake(5ms);
  run_one();
  EXPECT_TRUE(falls_asleep(memory));
  run_one();
  ::munmap(memory, wire::kRamBytes);
}

TEST(Lifetime, MachineStaysBelow100Megabytes) {
  Machine machine = start();
  model::Job job = code_job({kBlr});
  job.regions.push_back(
      {.address = kData, .size_bytes = 16384, .bytes = {}, .access = model::Access::read_write});
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(machine.submit(std::vector(512, job)).has_value());
    ASSERT_TRUE(machine.collect().has_value());
  }
  EXPECT_LT(status_kilobytes(machine.process_id(), "VmRSS"), 100'000);
}

TEST(Lifetime, QemuDiesWithAKilledParent) {
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);  // orphans become ours, and we see them die
  std::array<int, 2> channel = {};
  ASSERT_EQ(::pipe(channel.data()), 0);
  const pid_t parent = ::fork();
  if (parent == 0) {
    try {
      const Machine machine = start();
      const int process = machine.process_id();
      (void)!::write(channel[1], &process, sizeof(process));
      ::pause();
    } catch (...) {  // the parent reads nothing, and says so
    }
    ::_exit(1);
  }
  ::close(channel[1]);
  int process = 0;
  ASSERT_EQ(::read(channel[0], &process, sizeof(process)), static_cast<ssize_t>(sizeof(process)));
  ASSERT_TRUE(exists(process));
  ::kill(parent, SIGKILL);
  ::waitpid(parent, nullptr, 0);
  int status = 0;
  EXPECT_TRUE(tests::eventually([&] { return ::waitpid(process, &status, WNOHANG) == process; }));
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  ::prctl(PR_SET_CHILD_SUBREAPER, 0);
  ::close(channel[0]);
}

TEST(Lifetime, QemuInheritsNoStrayDescriptors) {
  const int stray = ::memfd_create("stray", 0);
  const Machine machine = start();
  for (const auto& entry : std::filesystem::directory_iterator(
           "/proc/" + std::to_string(machine.process_id()) + "/fd")) {
    std::error_code error;
    EXPECT_THAT(std::filesystem::read_symlink(entry, error).string(),
                testing::Not(HasSubstr("stray")));
  }
  ::close(stray);
}

TEST(Process, KeepsItsLastWords) {
  auto process =
      process::Process::start(
          {"/bin/sh", {"-c", "echo one; echo $two >&2; read x; exit 3"}, {{"two", "two"}}}, {})
          .value();
  while (process.running()) {
    std::this_thread::sleep_for(1ms);
  }
  EXPECT_EQ(process.last_words(), "one two");
  EXPECT_EQ(process.ending(), "exit status 3");
}

TEST(Process, ThatDoesNotExistIsAnError) {
  const auto process = process::Process::start({"/nonexistent", {}}, {});
  ASSERT_TRUE(process.has_error());
  EXPECT_EQ(process.error().code, ErrorCode::machine_start);
}

TEST(Qmp, AsksAndQuits) {
  const GuestMemory memory = GuestMemory::create().value();
  const process::SocketPair console = process::socket_pair().value();
  process::SocketPair control = process::socket_pair().value();
  const Channels channels = {memory.descriptor(), console.theirs.number(), control.theirs.number()};
  const std::array inherited = {channels.ram, channels.console, channels.qmp};
  auto qemu =
      process::Process::start(
          command_line({.program = "/usr/bin/qemu-system-ppc64"}, spec(), channels), inherited)
          .value();
  control.theirs.reset();
  QmpClient qmp(std::move(control.ours));
  const auto status = qmp.execute("query-status");
  ASSERT_TRUE(status.has_value()) << to_string(status.error());
  EXPECT_EQ(status.value()["status"], "running");
  EXPECT_THAT(qmp.monitor("info registers").value(), HasSubstr("NIP"));
  EXPECT_EQ(qmp.execute("no-such-command").error().code, ErrorCode::machine_bad_answer);
  ASSERT_TRUE(qmp.execute("stop").has_value());
  ASSERT_TRUE(qmp.execute("query-status").has_value());
  ASSERT_TRUE(qmp.execute("quit").has_value());
  ASSERT_TRUE(tests::eventually([&qemu] { return !qemu.running(); }));
  EXPECT_EQ(qemu.ending(), "exit status 0");
  EXPECT_EQ(qmp.execute("query-status").error().code, ErrorCode::machine_lost);
}

}  // namespace
}  // namespace farcall::vm::lifetime_test
