// What ends a run before its end, and leaves it the time to say what it came to.
#pragma once

#include <string>

namespace farcall::command {

// As long as it lives, SIGINT, SIGTERM and SIGHUP are noted instead of ending the process, the
// first of each: the second does. Writing where nobody reads is an error of that output, not a
// SIGPIPE, from here to the end of the process, which writes what standard output still holds.
// There is one at a time.
class Interruption {
 public:
  Interruption();
  Interruption(const Interruption&) = delete;
  Interruption& operator=(const Interruption&) = delete;
  ~Interruption();

  // The signal that came; 0: none. From any thread.
  static int signal();
  // `SIGINT`; empty: none came.
  static std::string name();
};

}  // namespace farcall::command
