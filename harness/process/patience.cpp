#include "process/patience.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <system_error>

namespace farcall::process {
namespace {

// Most waits end sooner, and then nobody looks.
constexpr std::chrono::milliseconds kFree{500};

// Of the thread that waited longest: of a QEMU, the one that runs the guest.
std::chrono::nanoseconds waited_for_cpu(int process_id) {
  std::int64_t longest = 0;
  std::error_code error;
  for (const auto& task :
       std::filesystem::directory_iterator(fmt::format("/proc/{}/task", process_id), error)) {
    std::int64_t ran = 0;
    std::int64_t waited = 0;
    if (std::ifstream(task.path() / "schedstat") >> ran >> waited) {
      longest = std::max(longest, waited);
    }
  }
  return std::chrono::nanoseconds(longest);
}

}  // namespace

Patience::Patience(std::chrono::nanoseconds most, int process_id)
    : process_id_(process_id), end_(begin_ + std::chrono::ceil<Clock::duration>(most)) {}

std::chrono::nanoseconds Patience::left() {
  const auto now = Clock::now();
  if (!waited_ && now - begin_ >= kFree) {
    waited_ = waited_for_cpu(process_id_);
  }
  if (waited_ && now >= end_) {
    const auto waited = waited_for_cpu(process_id_);
    end_ += std::chrono::ceil<Clock::duration>(waited - *waited_);
    waited_ = waited;
  }
  return std::max(std::chrono::nanoseconds(0), std::chrono::nanoseconds(end_ - now));
}

}  // namespace farcall::process
