#include "command/interruption.hpp"

#include <pthread.h>
#include <unistd.h>

#include <initializer_list>
#include <stop_token>
#include <utility>

namespace farcall::command {
namespace {

sigset_t requests_to_end() {
  sigset_t signals = {};
  ::sigemptyset(&signals);
  for (const int number : {SIGINT, SIGTERM}) {
    ::sigaddset(&signals, number);
  }
  return signals;
}

[[noreturn]] void end_by(int number) {
  ::signal(number, SIG_DFL);
  sigset_t only = {};
  ::sigemptyset(&only);
  ::sigaddset(&only, number);
  ::pthread_sigmask(SIG_UNBLOCK, &only, nullptr);
  ::raise(number);
  ::_exit(128 + number);  // somebody ignores it
}

}  // namespace

Interruption::Interruption(std::function<void()> summary) {
  const sigset_t signals = requests_to_end();
  ::pthread_sigmask(SIG_BLOCK, &signals, &before_);
  thread_ = std::jthread([signals, summary = std::move(summary)](const std::stop_token& stop) {
    int number = 0;
    while (::sigwait(&signals, &number) != 0) {
    }
    if (!stop.stop_requested()) {
      summary();
      end_by(number);
    }
  });
}

Interruption::~Interruption() {
  thread_.request_stop();
  ::pthread_kill(thread_.native_handle(), SIGINT);
  thread_.join();
  ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

}  // namespace farcall::command
