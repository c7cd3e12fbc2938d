// What a run tells its user, and how it ends: the reports that are wanted, totals, exit code.
#pragma once

#include <CLI/App.hpp>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/files.hpp"
#include "command/command_line.hpp"
#include "report/report.hpp"
#include "run/runner.hpp"
#include "selection/select.hpp"

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
// The first two of them.
void add_formats(CLI::App& command, ReportOptions& options);

// What is written to the terminal if no format is meant for it: the text report, or the command's
// own output.
enum class Terminal : std::uint8_t { text, somebody_else };

// Whether the options, in their order on the command line, pair each --format with the --output
// that follows: two formats in a row would leave it to luck which file gets which. Throws
// CLI::ValidationError.
void check_pairs(const CLI::App& command);

// The reports of one run, open until it ends.
class Reporting {
 public:
  // usage.bad-argument for outputs without a format of their own, file.unwritable.
  // `since` is when the run began.
  static Result<Reporting> open(const ReportOptions& options,
                                std::chrono::steady_clock::time_point since,
                                Terminal terminal = Terminal::text);

  // Runs all documents with each JIT and reports each, the bad files first; says at the end how
  // the JITs differ if there are several. A signal that would end the process ends the run, and so
  // does the failure of all outputs; the cells that have ended until then are reported. `replay`
  // says which command runs a cell again.
  ExitCode run(const run::Documents& documents, run::RunnerOptions runner,
               std::span<const engine::Jit> jits, report::Shard shard,
               const std::vector<selection::BadFile>& bad,
               const std::function<std::string(const run::FinishedCell&)>& replay,
               const std::function<std::string(const selection::BadFile&)>& replay_bad);

  // For who runs cells in another way: how many there will be, each of them, the end of all. The
  // exit code is that of the reported verdicts, of a signal, or of a report that cannot be written.
  void begin(std::size_t cells, report::Shard shard);
  void cell(const report::CellReport& cell);
  ExitCode end();

 private:
  Reporting() = default;
  Result<std::FILE*> open_file(const std::string& path);
  // Whether there is an output that has not failed.
  bool is_read() const;

  std::vector<OutputFile> files_;
  std::unique_ptr<report::Progress> progress_;  // where it is, for the reports that hide it
  std::vector<std::unique_ptr<report::Report>> reports_;
  report::Totals totals_;
  std::size_t cells_ = 0;
  std::chrono::steady_clock::time_point begin_;
};

// What a file that cannot be read comes to: what it holds is shown as an excerpt.
model::Verdict verdict_of(const selection::BadFile& file);

// How a run of these totals ends.
ExitCode exit_code(const report::Totals& totals);

}  // namespace farcall::command
