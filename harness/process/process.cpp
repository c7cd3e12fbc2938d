#include "process/process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <boost/process/args.hpp>
#include <boost/process/env.hpp>
#include <boost/process/environment.hpp>
#include <boost/process/error.hpp>
#include <boost/process/exe.hpp>
#include <boost/process/extend.hpp>
#include <boost/process/posix.hpp>
#include <csignal>
#include <limits>
#include <sstream>
#include <system_error>
#include <utility>

namespace farcall::process {
namespace {

// The functions that prepare a child run between vfork and exec: only async-signal-safe calls, and
// memory is the parent's.

// `errors`: where what it writes goes, unless the command says another place for its output.
void prepare_input_and_output(const Command& command, int errors) {
  // Whoever waits for signals holds them; that is not for QEMU to inherit.
  sigset_t none = {};
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  if (!command.directory.empty() && ::chdir(command.directory.c_str()) != 0) {
    ::_exit(EXIT_FAILURE);
  }
  ::dup2(command.input ? *command.input : ::open("/dev/null", O_RDONLY | O_CLOEXEC), STDIN_FILENO);
  ::dup2(command.output.value_or(errors), STDOUT_FILENO);
  ::dup2(errors, STDERR_FILENO);
  ::close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
}

void prepare_child(pid_t parent, const Command& command, int errors, int alive,
                   std::span<const int> inherited) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::setpgid(0, 0);  // Ctrl-C at the terminal is for the parent, and for a debugger beside it
  if (::getppid() != parent) {  // it died before the line above
    ::_exit(EXIT_FAILURE);
  }
  prepare_input_and_output(command, errors);
  ::fcntl(alive, F_SETFD, 0);
  for (const int descriptor : inherited) {
    ::fcntl(descriptor, F_SETFD, 0);
  }
}

// How often, and how long at most, somebody looks whether a killed group is gone.
constexpr int kLookAtGroupMilliseconds = 10;
constexpr int kDeathOfGroupMilliseconds = 10'000;

void prepare_detached(const Command& command) {
  ::setsid();
  prepare_input_and_output(command, ::open("/dev/null", O_WRONLY | O_CLOEXEC));
}

template <typename Prepare>
Result<boost::process::child> started(const Command& command, const Prepare& prepare) {
  namespace bp = boost::process;
  bp::environment environment = boost::this_process::environment();
  for (const auto& [name, value] : command.environment) {
    environment.set(name, value);  // operator[] reads beyond the strings it compares
  }
  std::error_code error;
  bp::child child(
      bp::exe = command.program, bp::args = command.arguments, environment, error,
      bp::posix::use_vfork,  // to copy the page tables of all cells takes milliseconds
      bp::extend::on_exec_setup = [&](auto& /*executor*/) { prepare(); });
  if (error) {
    return Error{ErrorCode::machine_start,
                 fmt::format("cannot start {}: {}", command.program, error.message())};
  }
  return child;
}

}  // namespace

Result<Process> Process::start(const Command& command, std::span<const int> inherited) {
  Process process;
  FARCALL_TRY(output, memory_file("farcall-output", 0));
  process.output_ = std::move(output);
  FARCALL_TRY(life, make_pipe());
  const pid_t parent = ::getpid();
  const int output_number = process.output_.number();
  const int alive = life.write_end.number();
  FARCALL_TRY(child, started(command, [&] {
                prepare_child(parent, command, output_number, alive, inherited);
              }));
  process.child_ = std::move(child);
  process.alive_ = std::move(life.read_end);
  return process;
}

Result<void> start_detached(const Command& command) {
  FARCALL_TRY(child, started(command, [&] { prepare_detached(command); }));
  child.detach();
  return success();
}

bool Process::running() {
  std::error_code error;
  return child_.valid() && child_.running(error);
}

void Process::wait() {
  std::error_code error;
  child_.wait(error);
}

bool Process::wait_for(std::chrono::milliseconds most) {
  // Boost.Process's own wait_for() takes SIGCHLD of the whole process.
  const FileDescriptor handle(static_cast<int>(::syscall(SYS_pidfd_open, child_.id(), 0)));
  pollfd wait = {handle.number(), POLLIN, 0};
  ::poll(&wait, 1, static_cast<int>(most.count()));
  return !running();
}

void Process::kill() {
  // With all that it has started: it may be a script that does not become QEMU itself.
  const bool group_dies =
      child_.valid() && !std::exchange(group_killed_, true) && ::kill(-child_.id(), SIGKILL) == 0;
  if (running()) {
    ::kill(child_.id(), SIGKILL);  // if it has not come as far as having a group
    std::error_code error;
    child_.wait(error);  // child::terminate() does not wait, and would leave a zombie
  }
  if (group_dies) {
    // Those that the child started are not ours to reap. One that dies leaves the pipe before it
    // leaves the group, which it does not before somebody has reaped it; one that lives on, outside
    // of the group, leaves neither.
    pollfd end = {.fd = alive_.number(), .events = 0, .revents = 0};
    for (int waited = 0;
         waited < kDeathOfGroupMilliseconds && ::poll(&end, 1, kLookAtGroupMilliseconds) <= 0 &&
         ::kill(-child_.id(), 0) == 0;
         waited += kLookAtGroupMilliseconds) {
    }
  }
}

std::string Process::ending() const {
  const int status = child_.native_exit_code();
  return WIFSIGNALED(status) ? fmt::format("signal {}", WTERMSIG(status))
                             : fmt::format("exit status {}", WEXITSTATUS(status));
}

std::string Process::last_output(off_t most) const {
  struct stat status = {};
  if (::fstat(output_.number(), &status) != 0) {
    return {};
  }
  const off_t from = std::max<off_t>(0, status.st_size - most);
  std::string text(static_cast<std::size_t>(status.st_size - from), '\0');
  const ssize_t got = ::pread(output_.number(), text.data(), text.size(), from);
  text.resize(static_cast<std::size_t>(std::max<ssize_t>(0, got)));
  return text;
}

std::string Process::output() const {
  return last_output(std::numeric_limits<off_t>::max());
}

std::string Process::last_words() const {
  std::string text = last_output(512);
  while (!text.empty() && text.back() == '\n') {
    text.pop_back();
  }
  std::ranges::replace(text, '\n', ' ');
  return text;
}

std::string Process::first_errors() const {
  constexpr off_t kMost = 1 << 20;
  constexpr std::size_t kLines = 3;
  std::istringstream lines(last_output(kMost));
  std::string found;
  std::size_t count = 0;
  for (std::string line; count < kLines && std::getline(lines, line);) {
    if (line.find("rror:") != std::string::npos || line.starts_with("***")) {
      found += (count++ == 0 ? "" : "; ") + line;
    }
  }
  return count == 0 ? last_words() : found;
}

}  // namespace farcall::process
