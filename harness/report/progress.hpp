// A bar on standard error that says how far a run is, for whoever watches.
#pragma once

#include <chrono>
#include <cstddef>

namespace farcall::report {

class Progress {
 public:
  // Does nothing unless `shown`: standard error is a terminal.
  explicit Progress(bool shown) : shown_(shown) {}

  void begin(std::size_t cells);
  void advance(bool failed);  // by one cell

  // Makes room for other output on the terminal; the next advance() shows it again.
  void hide();

 private:
  void draw();

  bool shown_;
  bool visible_ = false;
  std::size_t cells_ = 0;
  std::size_t done_ = 0;
  std::size_t failed_ = 0;
  std::chrono::steady_clock::time_point drawn_;
};

}  // namespace farcall::report
