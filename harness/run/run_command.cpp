#include <fmt/format.h>
#include <unistd.h>

#include <CLI/App.hpp>
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <map>
#include <memory>

#include "report/report.hpp"
#include "run/commands.hpp"
#include "run/options.hpp"
#include "run/runner.hpp"
#include "run/select.hpp"

namespace farcall::run {
namespace {

enum class Format : std::uint8_t { text, json, junit, tap };

const std::map<std::string, Format> kFormats = {
    {"text", Format::text}, {"json", Format::json}, {"junit", Format::junit}, {"tap", Format::tap}};

struct RunArguments {
  Selection selection;
  std::vector<std::string> from;  // stage documents instead of a selection
  std::string program;
  Format format = Format::text;
  std::string output;      // the report goes to this file, and text to standard output
  std::size_t repeat = 1;  // every cell so many times
  RunnerOptions runner;
};

// Of one run, repetitions counted.
constexpr std::size_t kMostCells = 1'000'000;

bool is_harness_failure(const model::Verdict& verdict) {
  return std::ranges::any_of(verdict.findings, [](const model::Finding& finding) {
    return name(finding.code).starts_with("machine.") &&
           finding.code != ErrorCode::machine_job_too_large;
  });
}

// As a word of a shell's command line.
std::string shell_word(const std::string& text) {
  constexpr std::string_view kPlain =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_@%+=:,./-";
  if (!text.empty() && text.find_first_not_of(kPlain) == std::string::npos) {
    return text;
  }
  std::string quoted = "'";
  for (const char c : text) {
    quoted += c == '\'' ? "'\\''" : std::string(1, c);
  }
  return quoted + "'";
}

std::string replay_command(const RunArguments& arguments, std::size_t index,
                           const model::Cell& cell) {
  if (!arguments.from.empty()) {
    return fmt::format("{} run --from {}", shell_word(arguments.program),
                       shell_word(arguments.from[index % arguments.from.size()]));
  }
  return fmt::format("{} run {} --filter {}", shell_word(arguments.program),
                     shell_word(cell.case_path), shell_word(cell.name));
}

void count(const model::Verdict& verdict, report::Totals& totals) {
  switch (verdict.outcome) {
    case model::Outcome::pass:
      ++totals.passed;
      break;
    case model::Outcome::fail:
      ++totals.failed;
      break;
    case model::Outcome::skip:
      ++totals.skipped;
      break;
    case model::Outcome::error:
      ++totals.errors;
      break;
  }
  totals.sites += verdict.sites.size();
  totals.agreed_sites +=
      static_cast<std::size_t>(std::ranges::count_if(verdict.sites, report::agrees));
}

Result<Documents> load(const RunArguments& arguments) {
  std::vector<model::Document> documents;
  if (arguments.from.empty()) {
    BOOST_OUTCOME_TRY(selected, select_cells(arguments.selection));
    documents = std::move(selected);
  }
  for (const std::string& path : arguments.from) {
    BOOST_OUTCOME_TRY(document, read_document_file(path));
    documents.push_back(std::move(document));
  }
  const std::size_t once = documents.size();
  if (once * arguments.repeat > kMostCells) {
    return Error{.code = ErrorCode::usage_bad_argument,
                 .message = fmt::format("--repeat {}: {} cells; expected at most {}",
                                        arguments.repeat, once * arguments.repeat, kMostCells)};
  }
  return Documents(std::move(documents), arguments.repeat);
}

std::unique_ptr<report::Report> make_report(Format format, std::FILE* out,
                                            report::Progress& progress) {
  switch (format) {
    case Format::json:
      return report::json_report(out);
    case Format::junit:
      return report::junit_report(out);
    case Format::tap:
      return report::tap_report(out);
    case Format::text:
      break;
  }
  const char* const no_colour = std::getenv("NO_COLOR");  // https://no-color.org
  const bool colour = no_colour == nullptr || *no_colour == '\0';
  return report::text_report(out, {.colour = colour && out == stdout && isatty(STDOUT_FILENO) != 0,
                                   .progress = &progress});
}

// The file of --output, closed with its owner.
using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

ExitCode run(const RunArguments& arguments) {
  const auto begin = std::chrono::steady_clock::now();
  const auto documents = load(arguments);
  if (!documents) {
    return report_error(documents.error());
  }
  File file(nullptr, std::fclose);
  report::Progress progress(isatty(STDERR_FILENO) != 0);
  std::vector<std::unique_ptr<report::Report>> reports;
  if (arguments.output.empty()) {
    reports.push_back(make_report(arguments.format, stdout, progress));
  } else {
    file.reset(std::fopen(arguments.output.c_str(), "w"));
    if (!file) {
      return report_error({.code = ErrorCode::file_unwritable,
                           .message = "cannot be written",
                           .where = {arguments.output}});
    }
    reports.push_back(make_report(arguments.format, file.get(), progress));
    reports.push_back(make_report(Format::text, stdout, progress));
  }

  report::Totals totals;
  bool harness_failed = false;
  std::size_t index = 0;
  for (const auto& report : reports) {
    report->begin(documents.value().size());
  }
  progress.begin(documents.value().size());
  const auto tell = [&](const Outcome& outcome) {
    count(outcome.verdict, totals);
    harness_failed = harness_failed || is_harness_failure(outcome.verdict);
    const check::Testimony& testimony = outcome.testimony;
    const report::CellReport cell{
        .cell = outcome.document.cell,
        .verdict = outcome.verdict,
        .image = testimony.image ? &*testimony.image : nullptr,
        .observations = testimony.observations ? &*testimony.observations : nullptr,
        .landmarks = testimony.landmarks,
        .replay = replay_command(arguments, index++, outcome.document.cell)};
    for (const auto& report : reports) {
      report->cell(cell);
    }
  };
  run_all(documents.value(), arguments.runner, tell, [&progress](const model::Verdict& verdict) {
    progress.advance(verdict.outcome != model::Outcome::pass &&
                     verdict.outcome != model::Outcome::skip);
  });
  progress.hide();
  totals.not_run = documents.value().size() - totals.cells();
  totals.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  for (const auto& report : reports) {
    report->end(totals);
  }
  if (file && std::fclose(file.release()) != 0) {
    return report_error({.code = ErrorCode::file_unwritable,
                         .message = "the report could not be written",
                         .where = {arguments.output}});
  }
  if (harness_failed) {
    return ExitCode::harness_failed;
  }
  if (totals.failed > 0) {
    return ExitCode::failed;
  }
  return totals.errors > 0 ? ExitCode::bad_input : ExitCode::passed;
}

}  // namespace

Command run_command(CLI::App& app, const Invocation& invocation) {
  const auto arguments = std::make_shared<RunArguments>();
  arguments->program = invocation.program;
  arguments->runner = default_runner(invocation);
  CLI::App* const run_app =
      app.add_subcommand("run", "Run cells and say whether all witnesses agree");
  auto* const paths = run_app->add_option("PATH", arguments->selection.paths,
                                          "Case files, or folders to search for them");
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
  add_choice(*run_app, "--format", arguments->format, kFormats, "text, json, junit or tap",
             "FORMAT");
  run_app
      ->add_option("--output", arguments->output,
                   "Write the report to this file, and text to the terminal")
      ->type_name("FILE");
  add_selection(*run_app, arguments->selection);
  run_app->get_option("--filter")->excludes(from);
  run_app->get_option("--where")->excludes(from);
  add_jobs(*run_app, arguments->runner);
  run_app->parse_complete_callback([arguments] {
    if (arguments->selection.paths.empty() && arguments->from.empty()) {
      throw CLI::RequiredError("PATH or --from");
    }
  });
  return {run_app, [arguments] { return run(*arguments); }};
}

}  // namespace farcall::run
