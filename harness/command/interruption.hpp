// Ctrl-C, or a request to end (SIGTERM), while a command works.
#pragma once

#include <csignal>
#include <functional>
#include <thread>

namespace farcall::command {

// While it lives, such a signal makes it call `summary` from a thread of its own, and then end the
// process by the signal, as its caller expects: a shell stops the script too. Machines end with the
// process, whatever they are doing. Made before the threads that do the work, of which none then
// gets the signal; there is one at a time.
class Interruption {
 public:
  explicit Interruption(std::function<void()> summary);
  Interruption(const Interruption&) = delete;
  Interruption& operator=(const Interruption&) = delete;
  // Must not be called while `summary` runs, or waits for what its caller holds.
  ~Interruption();

 private:
  sigset_t before_ = {};
  std::jthread thread_;
};

}  // namespace farcall::command
