#include "process/patience.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>
#include <utility>

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

CpuUses look_at(int process_id) {
  CpuUses uses;
  std::error_code error;
  for (const auto& task :
       std::filesystem::directory_iterator(fmt::format("/proc/{}/task", process_id), error)) {
    std::int64_t ran = 0;
    std::int64_t waited = 0;
    if (std::ifstream(task.path() / "schedstat") >> ran >> waited) {
      const int number = std::atoi(task.path().filename().c_str());
      uses[number] = {.ran = std::chrono::nanoseconds(ran),
                      .waited = std::chrono::nanoseconds(waited),
                      .wants_cpu = is_runnable(task.path())};
    }
  }
  return uses;
}

}  // namespace

std::chrono::nanoseconds count_wait(const CpuUses& before, CpuUses& after,
                                    std::chrono::nanoseconds apart) {
  std::chrono::nanoseconds longest{0};
  for (auto& [number, use] : after) {
    const auto known = before.find(number);
    const CpuUse last = known == before.end() ? CpuUse{} : known->second;
    const bool waits = use.wants_cpu && use.ran == last.ran && use.ran.count() > 0;
    const auto waited =
        waits ? apart : std::max(use.waited - last.waited, std::chrono::nanoseconds(0));
    use.waited = std::max(use.waited, last.waited + waited);
    longest = std::max(longest, waited);
  }
  return longest;
}

Patience::Patience(std::chrono::nanoseconds most, int process_id)
    : process_id_(process_id), end_(begin_ + std::chrono::ceil<Clock::duration>(most)) {}

std::chrono::nanoseconds Patience::left() {
  const auto now = Clock::now();
  if (!last_ && now - begin_ >= kFree) {
    last_ = {.at = now, .uses = look_at(process_id_)};
  }
  if (last_ && now >= end_) {
    CpuUses uses = look_at(process_id_);
    end_ += std::chrono::ceil<Clock::duration>(count_wait(last_->uses, uses, now - last_->at));
    last_ = {.at = now, .uses = std::move(uses)};
  }
  const auto until = last_ ? end_ : std::min(end_, begin_ + kFree);  // a first look is due then
  return std::max(std::chrono::nanoseconds(0), std::chrono::nanoseconds(until - now));
}

}  // namespace farcall::process
