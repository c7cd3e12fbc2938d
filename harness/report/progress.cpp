#include "report/progress.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <string>

namespace farcall::report {
namespace {

constexpr auto kInterval = std::chrono::milliseconds(50);
constexpr std::size_t kWidth = 32;

}  // namespace

void Progress::begin(std::size_t cells) {
  cells_ = cells;
  draw();
}

void Progress::advance(bool failed) {
  ++done_;
  failed_ += failed ? 1U : 0U;
  draw();
}

void Progress::draw() {
  const auto now = std::chrono::steady_clock::now();
  if (!shown_ || now - drawn_ < kInterval) {
    return;
  }
  drawn_ = now;
  const std::size_t full = cells_ == 0 ? kWidth : kWidth * done_ / cells_;
  std::string bar;
  for (std::size_t i = 0; i < kWidth; ++i) {
    bar += i < full ? "█" : "░";
  }
  std::fputs(fmt::format("\r{} {} of {} cells{}", bar, done_, cells_,
                         failed_ == 0 ? "" : fmt::format(", {} failed", failed_))
                 .c_str(),
             stderr);
  std::fflush(stderr);
  visible_ = true;
}

void Progress::hide() {
  if (visible_) {
    std::fputs("\r\033[K", stderr);
    std::fflush(stderr);
    visible_ = false;
    drawn_ = {};
  }
}

}  // namespace farcall::report
