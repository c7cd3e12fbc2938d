#include "vm/foreground.hpp"

#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <boost/process/args.hpp>
#include <boost/process/child.hpp>
#include <boost/process/env.hpp>
#include <boost/process/environment.hpp>
#include <boost/process/error.hpp>
#include <boost/process/exe.hpp>
#include <boost/process/extend.hpp>
#include <csignal>
#include <initializer_list>
#include <system_error>

namespace farcall::vm {
namespace {

// Signals that are waited for instead of being delivered, as long as the object lives.
class HeldSignals {
 public:
  explicit HeldSignals(std::initializer_list<int> numbers) {
    ::sigemptyset(&held_);
    for (const int number : numbers) {
      ::sigaddset(&held_, number);
    }
    ::pthread_sigmask(SIG_BLOCK, &held_, &before_);
  }
  HeldSignals(const HeldSignals&) = delete;
  HeldSignals& operator=(const HeldSignals&) = delete;
  ~HeldSignals() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

  int wait() const {
    int number = 0;
    while (::sigwait(&held_, &number) != 0) {
    }
    return number;
  }
  const sigset_t& before() const { return before_; }

 private:
  sigset_t held_ = {};
  sigset_t before_ = {};
};

}  // namespace

Result<int> run_in_foreground(const process::Command& command) {
  namespace bp = boost::process;
  const HeldSignals signals({SIGCHLD, SIGINT, SIGTERM, SIGHUP});
  const pid_t parent = ::getpid();
  bp::environment environment = boost::this_process::environment();
  for (const auto& [name, value] : command.environment) {
    environment.set(name, value);  // operator[] reads beyond the strings it compares
  }
  std::error_code error;
  bp::child child(
      bp::exe = command.program, bp::args = command.arguments, environment, error,
      bp::extend::on_exec_setup = [&](auto& /*executor*/) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (::getppid() != parent) {
          ::_exit(EXIT_FAILURE);
        }
        ::pthread_sigmask(SIG_SETMASK, &signals.before(), nullptr);
      });
  if (error) {
    return Error{ErrorCode::machine_start,
                 fmt::format("cannot start {}: {}", command.program, error.message())};
  }
  while (true) {
    const int number = signals.wait();
    int status = 0;
    if (number == SIGCHLD && ::waitpid(child.id(), &status, WNOHANG) == child.id()) {
      child.detach();  // it is reaped
      return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    }
    if (number == SIGTERM || number == SIGHUP) {
      ::kill(child.id(), SIGKILL);
      child.wait(error);
      return Error{ErrorCode::machine_lost, "farcall was asked to end"};
    }
  }
}

void wait_for_end() {
  const HeldSignals signals({SIGCHLD, SIGINT, SIGTERM, SIGHUP});
  signals.wait();
}

}  // namespace farcall::vm
