#include <fmt/format.h>

#include <CLI/App.hpp>
#include <chrono>
#include <memory>

#include "command/commands.hpp"
#include "command/options.hpp"
#include "command/reporting.hpp"
#include "command/shell_word.hpp"
#include "run/runner.hpp"
#include "run/select.hpp"

namespace farcall::command {
namespace {

struct RunArguments {
  run::Selection selection;
  std::vector<std::string> from;  // stage documents instead of a selection
  std::string program;
  ReportOptions reports;
  std::size_t repeat = 1;  // every cell so many times
  run::RunnerOptions runner;
};

// Of one run, repetitions counted.
constexpr std::size_t kMostCells = 1'000'000;

std::string replay_command(const RunArguments& arguments, std::size_t index,
                           const model::Cell& cell) {
  if (!arguments.from.empty()) {
    return fmt::format("{} run --from {}", shell_word(arguments.program),
                       shell_word(arguments.from[index % arguments.from.size()]));
  }
  return fmt::format("{} run {} --filter {}", shell_word(arguments.program),
                     shell_word(cell.case_path), shell_word(cell.name));
}

Result<run::Documents> load(const RunArguments& arguments) {
  std::vector<model::Document> documents;
  if (arguments.from.empty()) {
    FARCALL_TRY(selected, run::select_cells(arguments.selection));
    documents = std::move(selected);
  }
  for (const std::string& path : arguments.from) {
    FARCALL_TRY(document, run::read_document_file(path));
    documents.push_back(std::move(document));
  }
  const std::size_t once = documents.size();
  if (once * arguments.repeat > kMostCells) {
    return Error{.code = ErrorCode::usage_bad_argument,
                 .message = fmt::format("--repeat {}: {} cells; expected at most {}",
                                        arguments.repeat, once * arguments.repeat, kMostCells)};
  }
  return run::Documents(std::move(documents), arguments.repeat);
}

ExitCode run(const RunArguments& arguments) {
  const auto begin = std::chrono::steady_clock::now();
  const auto documents = load(arguments);
  if (!documents) {
    return report_error(documents.error());
  }
  auto reporting = Reporting::open(arguments.reports, begin);
  if (!reporting) {
    return report_error(reporting.error());
  }
  std::size_t index = 0;
  reporting.value().begin(documents.value().size(), arguments.selection.shard);
  const auto tell = [&](const run::Outcome& outcome) {
    reporting.value().cell(outcome, replay_command(arguments, index++, outcome.document.cell));
  };
  run::run_all(documents.value(), arguments.runner, tell, reporting.value().ended());
  const auto code = reporting.value().end();
  return code ? code.value() : report_error(code.error());
}

}  // namespace

Command run_command(CLI::App& app, const Invocation& invocation) {
  const auto arguments = std::make_shared<RunArguments>();
  arguments->program = invocation.program;
  arguments->runner = default_runner(invocation);
  CLI::App* const run_app =
      app.add_subcommand("run", "Run cells and say whether all witnesses agree");
  auto* const paths =
      run_app->add_option("PATH", arguments->selection.paths,
                          "Case files, folders to search for them, FILE@CELL, or - for a case on "
                          "standard input");
  auto* const from =
      run_app
          ->add_option("--from", arguments->from,
                       "Run from stages that `farcall dump --json` wrote, or another JIT")
          ->type_name("FILE...")
          ->excludes(paths);
  run_app
      ->add_option("--rerun-failed", arguments->selection.failed_in,
                   "Only cells that did not pass in this report of --format json")
      ->type_name("FILE")
      ->excludes(from);
  run_app->add_flag("--fail-fast", arguments->runner.stop_at_failure,
                    "Stop at the first cell that does not pass");
  run_app->add_option("--repeat", arguments->repeat, "Run every cell so many times")
      ->check(CLI::Range(std::size_t{1}, std::size_t{100'000}));
  add_reports(*run_app, arguments->reports);
  add_selection(*run_app, arguments->selection);
  run_app->get_option("--filter")->excludes(from);
  run_app->get_option("--where")->excludes(from);
  run_app->get_option("--shard")->excludes(from);
  add_jobs(*run_app, arguments->runner);
  run_app->parse_complete_callback([arguments] {
    if (arguments->selection.paths.empty() && arguments->from.empty()) {
      throw CLI::RequiredError("PATH or --from");
    }
  });
  return {run_app,
          with_host(*run_app, arguments->runner.host, [arguments] { return run(*arguments); })};
}

}  // namespace farcall::command
