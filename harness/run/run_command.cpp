#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "report/report.hpp"
#include "run/commands.hpp"
#include "run/select.hpp"

namespace farcall::run {
namespace {

bool is_harness_failure(const model::Verdict& verdict) {
  return std::ranges::any_of(verdict.findings, [](const model::Finding& finding) {
    return name(finding.code).starts_with("machine.") &&
           finding.code != ErrorCode::machine_job_too_large;
  });
}

std::string replay_command(const RunArguments& arguments, const model::Cell& cell) {
  if (!arguments.from.empty()) {
    return fmt::format("{} run --from {}", arguments.program, arguments.from);
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
  if (arguments.from.empty()) {
    return select_cells(arguments.paths, arguments.filter);
  }
  BOOST_OUTCOME_TRY(document, read_document_file(arguments.from));
  return std::vector<model::Document>{std::move(document)};
}

std::unique_ptr<report::Report> make_report(Format format) {
  if (format == Format::json) {
    return report::json_report(stdout);
  }
  return report::text_report(
      stdout, {.colour = isatty(STDOUT_FILENO) != 0, .progress = isatty(STDERR_FILENO) != 0});
}

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
  const auto report = make_report(arguments.format);
  report::Totals totals;
  bool harness_failed = false;
  report->begin(documents.value().size());
  run_all(documents.value(), arguments.runner, [&](const Outcome& outcome) {
    count(outcome.verdict, totals);
    harness_failed = harness_failed || is_harness_failure(outcome.verdict);
    const check::Testimony& testimony = outcome.testimony;
    report->cell({.cell = outcome.document.cell,
                  .verdict = outcome.verdict,
                  .image = testimony.image ? &*testimony.image : nullptr,
                  .observations = testimony.observations ? &*testimony.observations : nullptr,
                  .replay = replay_command(arguments, outcome.document.cell)});
  });
  totals.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  report->end(totals);
  if (harness_failed) {
    return ExitCode::harness_failed;
  }
  if (totals.failed > 0) {
    return ExitCode::failed;
  }
  return totals.errors > 0 ? ExitCode::bad_input : ExitCode::passed;
}

ExitCode list_command(const std::vector<std::string>& paths, const std::string& filter) {
  const auto documents = select_cells(paths, filter);
  if (!documents) {
    return report_error(documents.error());
  }
  for (const model::Document& document : documents.value()) {
    fmt::print("{:<48} {}\n", document.cell.name, document.cell.case_path);
  }
  return ExitCode::passed;
}

}  // namespace farcall::run
