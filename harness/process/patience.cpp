#include "process/patience.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

namespace farcall::process {
namespace {

// Most waits end sooner, and then nobody looks.
constexpr std::chrono::milliseconds kFree{500};

// The letter after the name in parentheses, which may hold anything.
bool is_runnable(const std::filesystem::path& task) {
  std::ifstream file(task / "stat");
  std::string line;
  std::getline(file, line);
  const std::size_t name_end = line.rfind(')');
  return name_end != std::string::npos && line.compare(name_end, 3, ") R") == 0;
}

CpuUse look_at(int process_id) {
  CpuUse use;
  std::error_code error;
  for (const auto& task :
       std::filesystem::directory_iterator(fmt::format("/proc/{}/task", process_id), error)) {
    std::int64_t ran = 0;
    std::int64_t waited = 0;
    if (std::ifstream(task.path() / "schedstat") >> ran >> waited) {
      use.ran += std::chrono::nanoseconds(ran);
      use.waited = std::max(use.waited, std::chrono::nanoseconds(waited));
    }
    use.wants_cpu = use.wants_cpu || is_runnable(task.path());
  }
  return use;
}

}  // namespace

std::chrono::nanoseconds waited_between(const CpuUse& before, const CpuUse& after,
                                        std::chrono::nanoseconds apart) {
  if (after.wants_cpu && after.ran == before.ran && after.ran.count() > 0) {
    return apart;
  }
  return std::max(std::chrono::nanoseconds(0), after.waited - before.waited);
}

Patience::Patience(std::chrono::nanoseconds most, int process_id)
    : process_id_(process_id), end_(begin_ + std::chrono::ceil<Clock::duration>(most)) {}

std::chrono::nanoseconds Patience::left() {
  const auto now = Clock::now();
  if (!last_ && now - begin_ >= kFree) {
    last_ = {.at = now, .use = look_at(process_id_)};
  }
  if (last_ && now >= end_) {
    CpuUse use = look_at(process_id_);
    const auto waited = waited_between(last_->use, use, now - last_->at);
    end_ += std::chrono::ceil<Clock::duration>(waited);
    // A wait that goes on is counted once, and not again when the kernel adds it up.
    use.waited = std::max(use.waited, last_->use.waited + waited);
    last_ = {.at = now, .use = use};
  }
  const auto until = last_ ? end_ : std::min(end_, begin_ + kFree);  // a first look is due then
  return std::max(std::chrono::nanoseconds(0), std::chrono::nanoseconds(until - now));
}

}  // namespace farcall::process
