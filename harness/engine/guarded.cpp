#include "engine/guarded.hpp"

#include <fmt/format.h>

#include <array>
#include <csetjmp>
#include <csignal>
#include <cstring>
#include <mutex>
#include <vector>

namespace farcall::engine {
namespace {

constexpr std::array kCrashes = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

// Handlers cannot be asked for anything but what lies in memory of their thread.
struct Guard {
  sigjmp_buf back;
  const void* address = nullptr;
};
thread_local Guard* innermost_guard = nullptr;

std::array<struct sigaction, kCrashes.size()> handlers_before;

void on_crash(int signal, siginfo_t* information, void* /*context*/) {
  if (innermost_guard != nullptr) {
    innermost_guard->address = information->si_addr;
    siglongjmp(innermost_guard->back, signal);
  }
  // Nothing of ours: as if nobody had looked. The instruction, or abort(), comes here again.
  for (std::size_t i = 0; i < kCrashes.size(); ++i) {
    if (kCrashes[i] == signal) {
      ::sigaction(signal, &handlers_before[i], nullptr);
    }
  }
  if (information->si_code <= 0) {  // somebody sent it
    ::raise(signal);
  }
}

void install_once() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action = {};
    action.sa_sigaction = on_crash;
    // The jump leaves the handler: the signal must not stay blocked.
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    ::sigemptyset(&action.sa_mask);
    for (std::size_t i = 0; i < kCrashes.size(); ++i) {
      ::sigaction(kCrashes[i], &action, &handlers_before[i]);
    }
  });
}

// A stack that is used up leaves no room for a handler. One for each thread, unless it has one.
class HandlerStack {
 public:
  HandlerStack() {
    stack_t present = {};
    ::sigaltstack(nullptr, &present);
    if ((present.ss_flags & SS_DISABLE) != 0) {
      bytes_.resize(kBytes);
      const stack_t ours = {.ss_sp = bytes_.data(), .ss_flags = 0, .ss_size = bytes_.size()};
      ::sigaltstack(&ours, nullptr);
    }
  }
  HandlerStack(const HandlerStack&) = delete;
  HandlerStack& operator=(const HandlerStack&) = delete;
  ~HandlerStack() {
    if (!bytes_.empty()) {
      const stack_t none = {.ss_sp = nullptr, .ss_flags = SS_DISABLE, .ss_size = 0};
      ::sigaltstack(&none, nullptr);
    }
  }

 private:
  static constexpr std::size_t kBytes = std::size_t{64} << 10;
  std::vector<std::byte> bytes_;
};

}  // namespace

std::optional<std::string> crash_of(const std::function<void()>& work) {
  install_once();
  thread_local const HandlerStack handler_stack;
  Guard ours = {};
  Guard* const outer = innermost_guard;
  // NOLINTNEXTLINE(cert-err52-cpp): nothing else takes a thread out of a crash
  if (const int signal = sigsetjmp(ours.back, 0); signal != 0) {
    innermost_guard = outer;
    return signal == SIGABRT ? fmt::format("signal {} ({})", signal, ::strsignal(signal))
                             : fmt::format("signal {} ({}) at address {}", signal,
                                           ::strsignal(signal), fmt::ptr(ours.address));
  }
  innermost_guard = &ours;
  work();
  innermost_guard = outer;
  return std::nullopt;
}

}  // namespace farcall::engine
