#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "report/report.hpp"
#include "run/commands.hpp"
#include "run/select.hpp"

namespace farcall::run {
namespace {

// Of one run, repetitions counted: they are all in memory.
constexpr std::size_t kMostCells = 200'000;

bool is_harness_failure(const model::Verdict& verdict) {
  return std::ranges::any_of(verdict.findings, [](const model::Finding& finding) {
    return name(finding.code).starts_with("machine.") &&
           finding.code != ErrorCode::machine_job_too_large;
  });
}

std::string replay_command(const RunArguments& arguments, std::size_t index,
                           const model::Cell& cell) {
  if (!arguments.from.empty()) {
    return fmt::format("{} run --from {}", arguments.program,
                       arguments.from[index % arguments.from.size()]);
  }
  return fmt::format("{} run {} --filter {}", arguments.program, cell.case_path, cell.name);
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

Result<std::vector<model::Document>> load(const RunArguments& arguments) {
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
  documents.reserve(once * arguments.repeat);
  for (std::size_t i = once; i < once * arguments.repeat; ++i) {
    documents.push_back(documents[i - once]);
  }
  return documents;
}

std::unique_ptr<report::Report> make_report(Format format, std::FILE* out) {
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
  return report::text_report(out, {.colour = out == stdout && isatty(STDOUT_FILENO) != 0,
                                   .progress = out == stdout && isatty(STDERR_FILENO) != 0});
}

// The file of --output, closed with its owner.
using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

}  // namespace

ExitCode report_error(const Error& error) {
  fmt::print(stderr, "{}\n", to_string(error));
  return name(error.code).starts_with("machine.") ? ExitCode::harness_failed : ExitCode::bad_input;
}

ExitCode run_command(const RunArguments& arguments) {
  const auto begin = std::chrono::steady_clock::now();
  const auto documents = load(arguments);
  if (!documents) {
    return report_error(documents.error());
  }
  File file(nullptr, std::fclose);
  std::vector<std::unique_ptr<report::Report>> reports;
  if (arguments.output.empty()) {
    reports.push_back(make_report(arguments.format, stdout));
  } else {
    file.reset(std::fopen(arguments.output.c_str(), "w"));
    if (!file) {
      return report_error({.code = ErrorCode::file_unwritable,
                           .message = "cannot be written",
                           .where = {arguments.output}});
    }
    reports.push_back(make_report(arguments.format, file.get()));
    reports.push_back(make_report(Format::text, stdout));
  }

  report::Totals totals;
  bool harness_failed = false;
  std::size_t index = 0;
  for (const auto& report : reports) {
    report->begin(documents.value().size());
  }
  run_all(documents.value(), arguments.runner, [&](const Outcome& outcome) {
    count(outcome.verdict, totals);
    harness_failed = harness_failed || is_harness_failure(outcome.verdict);
    const check::Testimony& testimony = outcome.testimony;
    const report::CellReport cell{
        .cell = outcome.document.cell,
        .verdict = outcome.verdict,
        .image = testimony.image ? &*testimony.image : nullptr,
        .observations = testimony.observations ? &*testimony.observations : nullptr,
        .replay = replay_command(arguments, index++, outcome.document.cell)};
    for (const auto& report : reports) {
      report->cell(cell);
    }
  });
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

ExitCode list_command(const Selection& selection) {
  const auto documents = select_cells(selection);
  if (!documents) {
    return report_error(documents.error());
  }
  for (const model::Document& document : documents.value()) {
    fmt::print("{:<48} {}\n", document.cell.name, document.cell.case_path);
  }
  return ExitCode::passed;
}

}  // namespace farcall::run
