// How long somebody waits for a process, in time that the process could use.
#pragma once

#include <chrono>
#include <optional>

namespace farcall::process {

// What the kernel tells of a process's threads and the CPUs, at one moment.
struct CpuUse {
  std::chrono::nanoseconds ran = {};  // all threads together
  // For a CPU: the thread that waited longest; of a QEMU, the one that runs the guest.
  std::chrono::nanoseconds waited = {};
  bool wants_cpu = false;  // a thread runs, or could
};

// How long the process waited for a CPU between two looks that are `apart`. The kernel adds a wait to
// `waited` only when it has ended: who wants a CPU and has not run at all has waited all the time. (A
// kernel that does not count says 0 of `ran`.)
std::chrono::nanoseconds waited_between(const CpuUse& before, const CpuUse& after,
                                        std::chrono::nanoseconds apart);

// Time runs out only while the process has a CPU, or wants none: what it spends waiting for one, on
// a host that has more to do than it can, is not counted. A process that is stopped, that sleeps, or
// that loops for ever runs out of it. The kernel says how long each of its threads waited
// (/proc/PID/task/*/schedstat); where it does not, all time counts.
class Patience {
 public:
  using Clock = std::chrono::steady_clock;

  // `process_id` may be 0: nobody knows it, and all time counts.
  Patience(std::chrono::nanoseconds most, int process_id);

  // Wait at most this long, and ask again; zero: it is over. It has to be asked to know what the
  // process waited for since. Free of cost in the first half second.
  std::chrono::nanoseconds left();

 private:
  int process_id_;
  Clock::time_point begin_ = Clock::now();
  Clock::time_point end_;
  struct Look {
    Clock::time_point at;
    CpuUse use;
  };
  std::optional<Look> last_ = {};
};

}  // namespace farcall::process
