// What ends a run before its end, and leaves it the time to say what it came to.
#pragma once

#include <csignal>
#include <functional>
#include <optional>
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

// Whether a signal came; for work that looks now and then.
std::function<bool()> until_signal();

// Around work that takes seconds before there is anything to report: it can end what it has started when
// a signal comes, and the destructor ends the process by that signal, as it would have ended at once.
class EarlyInterruption {
 public:
  EarlyInterruption();
  EarlyInterruption(const EarlyInterruption&) = delete;
  EarlyInterruption& operator=(const EarlyInterruption&) = delete;
  ~EarlyInterruption();

 private:
  struct sigaction pipe_ = {};  // what SIGPIPE did before, and will after
  std::optional<Interruption> interruption_;
};

}  // namespace farcall::command
