// What ends a run before its end, and leaves it the time to say what it came to.
#pragma once

#include <string>
#include <string_view>

#include "command/command_line.hpp"

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
  // Of a command that shows all or nothing: says on standard error what the signal kept it from,
  // and is the code to exit with.
  static ExitCode report(std::string_view not_done);
};

}  // namespace farcall::command
