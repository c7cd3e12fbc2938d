// How long somebody waits for a process, in time that the process could use.
#pragma once

#include <chrono>
#include <map>
#include <optional>

namespace farcall::process {

// What the kernel tells of a thread and the CPUs, at one moment.
struct CpuUse {
  std::chrono::nanoseconds ran = {};
  std::chrono::nanoseconds waited = {};  // for a CPU
  bool wants_cpu = false;                // it runs, or could
};

// Of a process, by the numbers of its threads.
using CpuUses = std::map<int, CpuUse>;

// How long a process waited for a CPU between two looks that are `apart`: the thread that waited
// longest, which in a QEMU is the one that runs the guest. The kernel adds a wait to `waited` only
// when it has ended: a thread that wants a CPU and has not run at all has waited all the time. (A
// kernel that does not count says 0 of `ran`.) What was counted so is added to `after`, where the
// kernel will add it later.
std::chrono::nanoseconds count_wait(const CpuUses& before, CpuUses& after,
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
    CpuUses uses;
  };
  std::optional<Look> last_ = {};
};

}  // namespace farcall::process
