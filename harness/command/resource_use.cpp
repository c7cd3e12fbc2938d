#include "command/resource_use.hpp"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>

namespace farcall::command {
namespace {

// 0 for a process that has ended.
std::int64_t resident_bytes(const std::string& process) {
  std::ifstream file("/proc/" + process + "/statm");
  std::int64_t size = 0;
  std::int64_t resident = 0;
  file >> size >> resident;
  return resident * ::sysconf(_SC_PAGESIZE);
}

Resident largest(const Resident& a, const Resident& b) {
  return {std::max(a.own, b.own), std::max(a.machine, b.machine)};
}

double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

double cpu_seconds(int who) {
  rusage usage = {};
  ::getrusage(who, &usage);
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

}  // namespace

Resident resident_now() {
  Resident now{.own = resident_bytes("self")};
  std::error_code ended;  // threads come and go
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task", ended)) {
    std::ifstream children(task.path() / "children");
    for (std::string child; children >> child;) {
      now.machine = std::max(now.machine, resident_bytes(child));
    }
  }
  return now;
}

void ResidentWatch::sample(double part) {
  const Resident now = resident_now();
  peak_ = largest(peak_, now);
  (part <= 0.2 ? fifth_ : late_) = part <= 0.2 ? now : largest(late_, now);
}

CpuTime cpu_time_now() {
  return {cpu_seconds(RUSAGE_SELF), cpu_seconds(RUSAGE_CHILDREN)};
}

}  // namespace farcall::command
