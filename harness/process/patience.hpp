// How long somebody waits for a process, in time that the process could use.
#pragma once

#include <chrono>
#include <optional>

namespace farcall::process {

// Time runs out only while the process has a CPU, or wants none: what it spends waiting for one, on
// a host that has more to do than it can, is not counted. A process that is stopped, that sleeps, or
// that loops for ever runs out of it. The kernel says how long each of its threads waited
// (/proc/PID/task/*/schedstat); where it does not, all time counts.
class Patience {
 public:
  using Clock = std::chrono::steady_clock;

  // `process_id` may be 0: nobody knows it, and all time counts.
  Patience(std::chrono::nanoseconds most, int process_id);

  // At most this long; zero: it is over. Free of cost in the first half second.
  std::chrono::nanoseconds left();

 private:
  int process_id_;
  Clock::time_point begin_ = Clock::now();
  Clock::time_point end_;
  std::optional<std::chrono::nanoseconds> waited_ = {};  // for a CPU, as of the last look
};

}  // namespace farcall::process
