// A child process that cannot outlive its parent, whatever happens to it.
#pragma once

#include <sys/types.h>

#include <boost/process/child.hpp>
#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "process/file_descriptor.hpp"

namespace farcall::process {

// What to start. `program` is an absolute path; `environment` is added to the parent's own.
struct Command {
  std::string program;
  std::vector<std::string> arguments;
  std::vector<std::pair<std::string, std::string>> environment = {};
  // What it reads and writes: descriptors of the parent's. Without them its standard input is
  // empty, and its output is kept with its errors.
  std::optional<int> input = {};
  std::optional<int> output = {};
  std::string directory = {};  // that it works in; empty: the parent's
};

// The kernel kills the child when the thread that started it ends: start it from a thread that
// lives at least as long. The child inherits the descriptors that are named and no others; what it
// writes to its standard error is kept in memory.
class Process {
 public:
  // Returns once the program runs.
  static Result<Process> start(const Command& command, std::span<const int> inherited);

  int id() const { return child_.id(); }
  bool running();

  // Until it has ended by itself.
  void wait();

  // At most so long; true: it has ended.
  bool wait_for(std::chrono::milliseconds most);

  // Ends it and what it has started at once, and reaps it. Once it returns, none of them runs any
  // more, except one that left the child's group: that one goes on, and is not waited for.
  void kill();

  // How it ended: `exit status 1`, `signal 9`. Only after running() was false or kill().
  std::string ending() const;
  bool succeeded() const { return child_.native_exit_code() == 0; }

  // What it wrote to its standard output and error.
  std::string output() const;

  // The end of what it wrote to its standard error, and to its standard output if that went nowhere
  // else, on one line.
  std::string last_words() const;

  // Of the same, the first lines that speak of errors, as compilers and make write them, on one
  // line; if there are none, its end.
  std::string first_errors() const;

  Process(Process&&) = default;
  Process& operator=(Process&&) = delete;
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process() { kill(); }

 private:
  Process() = default;
  std::string last_output(off_t most) const;  // bytes

  boost::process::child child_;
  bool group_killed_ = false;
  // Of a pipe that ends once the child, and all that it has started, has ended.
  FileDescriptor alive_;
  FileDescriptor output_;
};

// Starts what is to outlive the parent: in a session of its own, so that what ends the parent at its
// terminal does not reach it. Its output goes nowhere. Errors: machine.start.
Result<void> start_detached(const Command& command);

}  // namespace farcall::process
