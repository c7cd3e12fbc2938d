#include "report/progress.hpp"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
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
  std::string words = fmt::format("{} of {} cells{}", done_, cells_,
                                  failed_ == 0 ? "" : fmt::format(", {} failed", failed_));
  // A line that is wrapped could not be taken back. A terminal that does not say is wide enough.
  winsize terminal = {};
  const bool known = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &terminal) == 0 && terminal.ws_col > 0;
  const std::size_t columns = known ? terminal.ws_col : kWidth + words.size() + 2;
  words.resize(std::min(words.size(), columns - 1));
  const std::size_t width = std::min(kWidth, columns - 1 - std::min(columns - 1, words.size() + 1));
  const std::size_t full = cells_ == 0 ? width : width * done_ / cells_;
  std::string bar;
  for (std::size_t i = 0; i < width; ++i) {
    bar += i < full ? "█" : "░";
  }
  std::fputs(fmt::format("\r{}{}{}", bar, width == 0 ? "" : " ", words).c_str(), stderr);
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
