#include "command/interruption.hpp"

#include <fmt/format.h>

#include <atomic>
#include <csignal>
#include <cstring>
#include <initializer_list>

#include "command/commands.hpp"

namespace farcall::command {
namespace {

// All that a handler may write to.
std::atomic<int> noted_signal = 0;
static_assert(std::atomic<int>::is_always_lock_free);

void note_signal(int number) {
  noted_signal = number;
}

void handle(std::initializer_list<int> numbers, void (*handler)(int), int flags) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  for (const int number : numbers) {
    struct sigaction before = {};
    ::sigaction(number, nullptr, &before);
    if (before.sa_handler != SIG_IGN || handler != note_signal) {  // as nohup has it
      ::sigaction(number, &action, nullptr);
    }
  }
}

}  // namespace

Interruption::Interruption() {
  noted_signal = 0;
  handle({SIGINT, SIGTERM, SIGHUP}, note_signal, SA_RESTART | static_cast<int>(SA_RESETHAND));
  handle({SIGPIPE}, SIG_IGN, 0);
}

Interruption::~Interruption() {
  struct sigaction now = {};
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    ::sigaction(number, nullptr, &now);
    if (now.sa_handler == note_signal) {
      handle({number}, SIG_DFL, 0);
    }
  }
  // SIGPIPE stays ignored: what standard output still holds is written after us.
}

int Interruption::signal() {
  return noted_signal;
}

std::string Interruption::name() {
  const int number = signal();
  return number == 0 ? "" : std::string("SIG") + ::sigabbrev_np(number);
}

std::function<bool()> until_signal() {
  return [] { return Interruption::signal() != 0; };
}

EarlyInterruption::EarlyInterruption() {
  ::sigaction(SIGPIPE, nullptr, &pipe_);
  interruption_.emplace();
}

EarlyInterruption::~EarlyInterruption() {
  interruption_.reset();
  ::sigaction(SIGPIPE, &pipe_, nullptr);
  if (const int number = Interruption::signal(); number != 0) {
    ::raise(number);
  }
}

ExitCode Interruption::report(std::string_view not_done) {
  note(fmt::format("ended by {}: {}", name(), not_done));
  return static_cast<ExitCode>(128 + signal());
}

}  // namespace farcall::command
