// What ends a run before its end, and leaves it the time to say what it came to.
#pragma once

#include <string>

namespace farcall::command {

// While it exists, the first SIGINT, SIGTERM and SIGHUP are noted instead of ending the process;
// the second of the same kind ends it. SIGPIPE is ignored from the constructor to the end of the
// process, which still flushes standard output: writing to a closed pipe is an error of that
// output. There is one Interruption at a time.
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
