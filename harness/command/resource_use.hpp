// How much memory and CPU time farcall and its QEMUs take, from /proc: for farcall bench.
#pragma once

#include <cstdint>

namespace farcall::command {

// In bytes.
struct Resident {
  std::int64_t own = 0;
  std::int64_t machine = 0;  // of the largest child process
};
Resident resident_now();

// Follows a run. Growth is from the sample at a fifth of the run to the largest after it: what
// comes before is warming up.
class ResidentWatch {
 public:
  // To be called now and then; `part` of the run is done, 0 … 1.
  void sample(double part);

  const Resident& peak() const { return peak_; }
  Resident growth() const { return {late_.own - fifth_.own, late_.machine - fifth_.machine}; }

 private:
  Resident peak_;
  Resident fifth_;
  Resident late_;
};

// In seconds of CPU time, user and system.
struct CpuTime {
  double own = 0;
  double machines = 0;  // of children that have ended
};
CpuTime cpu_time_now();

}  // namespace farcall::command
