// What a run tells its user, and how it ends: the reports that are wanted, totals, exit code.
#pragma once

#include <CLI/App.hpp>
#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "command/command_line.hpp"
#include "command/interruption.hpp"
#include "report/report.hpp"
#include "run/runner.hpp"

namespace farcall::command {

// Each format goes to the output of the same place among the outputs; the last one may have none,
// and goes to the terminal. Text goes there if none does.
struct ReportOptions {
  std::vector<std::string> formats;
  std::vector<std::string> outputs;
  std::string bundle;  // file for `farcall replay`; empty: none
};

// --format, --output and --bundle.
void add_reports(CLI::App& command, ReportOptions& options);

// The reports of one run, open until it ends.
class Reporting {
 public:
  // usage.bad-argument for outputs without a format of their own, file.unwritable.
  // `since` is when the run began.
  static Result<Reporting> open(const ReportOptions& options,
                                std::chrono::steady_clock::time_point since);

  // From here on it must stay where it is. A signal that asks for the end of farcall ends the
  // reports first, with what has come of the run so far.
  void begin(std::size_t cells, report::Shard shard);
  // `replay` is the command that runs this cell again.
  void cell(const run::Outcome& outcome, std::string replay);
  // To be told of each cell that has ended, at once and in whatever order.
  std::function<void(const model::Verdict&)> ended();
  // Ends all reports. file.unwritable if one could not be written as a whole.
  Result<ExitCode> end();

 private:
  using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

  Reporting() = default;
  Result<void> close_reports();
  Result<std::FILE*> open_file(const std::string& path);

  std::vector<std::pair<std::string, File>> files_;
  std::unique_ptr<report::Progress> progress_;  // where it is, for the reports that hide it
  std::vector<std::unique_ptr<report::Report>> reports_;
  report::Totals totals_;
  std::size_t cells_ = 0;
  std::chrono::steady_clock::time_point begin_;
  std::unique_ptr<std::mutex> mutex_ = std::make_unique<std::mutex>();  // of all of it
  std::unique_ptr<Interruption> interruption_;                          // ends first
};

// How a run of these totals ends.
ExitCode exit_code(const report::Totals& totals);

}  // namespace farcall::command
