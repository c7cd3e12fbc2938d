#include "command/reporting.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/App.hpp>
#include <CLI/Option.hpp>
#include <CLI/Validators.hpp>
#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <functional>
#include <system_error>

#include "base/excerpt.hpp"
#include "command/commands.hpp"
#include "command/comparison.hpp"
#include "command/interruption.hpp"
#include "command/options.hpp"
#include "command/terminal.hpp"
#include "command/versions.hpp"

namespace farcall::command {
namespace {

using Maker = std::unique_ptr<report::Report> (*)(std::FILE* out);

std::unique_ptr<report::Report> text_report(std::FILE* out, report::Progress& progress) {
  const char* const no_colour = std::getenv("NO_COLOR");  // https://no-color.org
  const bool colour = no_colour == nullptr || *no_colour == '\0';
  return report::text_report(out, {.colour = colour && out == stdout && has_escapes(STDOUT_FILENO),
                                   .progress = &progress});
}

struct Format {
  std::string name;
  Maker make;  // null: text_report()
};

const std::array kFormats = {
    Format{"text", nullptr},
    Format{"json", report::json_report},
    Format{"junit", report::junit_report},
    Format{"tap", report::tap_report},
    Format{"html", report::html_report},
    Format{"markdown", report::markdown_report},
    Format{"github", report::github_report},
};

std::vector<std::string> format_names() {
  std::vector<std::string> names;
  for (const Format& format : kFormats) {
    names.push_back(format.name);
  }
  return names;
}

// fmt throws where it cannot write, and the stream knows it ever after: that one output fails is not a
// reason for the others to end.
template <typename Write>
void write_to(const std::vector<std::unique_ptr<report::Report>>& reports, Write write) {
  for (const auto& report : reports) {
    try {
      write(*report);
    } catch (const std::system_error&) {  // NOLINT(bugprone-empty-catch)
    }
  }
}

void count(const model::Verdict& verdict, report::Totals& totals) {
  for (const model::Finding& finding : verdict.allowed) {
    ++totals.allowed[finding.code];
  }
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
  totals.harness_failed = totals.harness_failed || is_harness_failure(verdict);
}

}  // namespace

void add_formats(CLI::App& command, ReportOptions& options) {
  one_each(command.add_option("--format", options.formats,
                              fmt::format("{}; several, one before each --output",
                                          fmt::join(format_names(), ", "))))
      ->check(one_of(format_names()))
      ->type_name("FORMAT");
  one_each(command.add_option(
               "--output", options.outputs,
               "Write the report of the --format before to this file, and text to the terminal"))
      ->type_name("FILE");
}

void add_reports(CLI::App& command, ReportOptions& options) {
  add_formats(command, options);
  command
      .add_option("--bundle", options.bundle,
                  "Pack the cells that do not pass into this file, for `farcall replay` elsewhere")
      ->type_name("FILE");
}

void check_pairs(const CLI::App& command) {
  std::vector<char> order;
  for (const CLI::Option* const option : command.parse_order()) {
    if (option->check_name("--format") || option->check_name("--output")) {
      order.push_back(option->check_name("--format") ? 'F' : 'O');
    }
  }
  const std::string_view seen(order.data(), order.size());
  const auto outputs = std::ranges::count(order, 'O');
  if (outputs > 0 && seen.find("FF") != std::string_view::npos) {
    throw CLI::ValidationError("--format", "two in a row: expected one before each --output");
  }
}

Result<std::FILE*> Reporting::open_file(const std::string& path) {
  FARCALL_TRY(file, OutputFile::open(path));
  return files_.emplace_back(std::move(file)).stream();
}

Result<Reporting> Reporting::open(const ReportOptions& options,
                                  std::chrono::steady_clock::time_point since, Terminal terminal) {
  const std::size_t formats = options.formats.size();
  const std::size_t outputs = options.outputs.size();
  if (formats > outputs + 1 || (outputs > 1 && outputs > formats)) {
    return Error{.code = ErrorCode::usage_bad_argument,
                 .message = fmt::format("{} --format and {} --output: expected one --format for "
                                        "each --output, and at most one more for the terminal",
                                        formats, outputs)};
  }
  std::vector<std::string> paths = options.outputs;
  if (!options.bundle.empty()) {
    paths.push_back(options.bundle);
  }
  std::ranges::sort(paths);
  if (const auto twice = std::ranges::adjacent_find(paths); twice != paths.end()) {
    return Error{.code = ErrorCode::usage_bad_argument,
                 .message = fmt::format("two reports for one file, {}", *twice)};
  }
  Reporting reporting;
  reporting.begin_ = since;
  reporting.progress_ = std::make_unique<report::Progress>(has_escapes(STDERR_FILENO));
  const auto add = [&reporting](const std::string& format, std::FILE* out) {
    const Maker make = std::ranges::find(kFormats, format, &Format::name)->make;
    reporting.reports_.push_back(make != nullptr ? make(out)
                                                 : text_report(out, *reporting.progress_));
  };
  for (std::size_t i = 0; i < outputs; ++i) {
    FARCALL_TRY(file, reporting.open_file(options.outputs[i]));
    add(i < formats ? options.formats[i] : "text", file);
  }
  if (!options.bundle.empty()) {
    FARCALL_TRY(file, reporting.open_file(options.bundle));
    reporting.reports_.push_back(report::bundle_report(file, qemu_version()));
  }
  if (formats > outputs || terminal == Terminal::text) {
    add(formats > outputs ? options.formats.back() : "text", stdout);
  }
  return reporting;
}

ExitCode Reporting::run(const run::Documents& documents, run::RunnerOptions runner,
                        std::span<const engine::Jit> jits, report::Shard shard,
                        const std::vector<selection::BadFile>& bad,
                        const std::function<std::string(const run::FinishedCell&)>& replay,
                        const std::function<std::string(const selection::BadFile&)>& replay_bad) {
  const Interruption interruption;
  begin(bad.size() + (documents.size() * jits.size()), shard);
  for (const selection::BadFile& file : bad) {
    const model::Cell in_place_of_its_cells{.case_path = file.path,
                                            .name = selection::case_name(file.path)};
    cell({.cell = in_place_of_its_cells, .verdict = verdict_of(file), .replay = replay_bad(file)});
    progress_->advance(true);
  }
  std::atomic<bool> stop = !bad.empty() && runner.stop_at_failure;
  runner.stopped = [&stop] { return stop || Interruption::signal() != 0; };
  Comparison comparison(jits);
  const auto tell = [&](const run::FinishedCell& finished) {
    comparison.add(finished);
    cell(cell_report(finished, replay(finished)));
    stop = stop || !is_read();
  };
  const auto ended = [this](const model::Verdict& verdict) {
    progress_->advance(verdict.outcome != model::Outcome::pass &&
                       verdict.outcome != model::Outcome::skip);
  };
  for (const engine::Jit& jit : jits) {
    runner.jit = jit;
    totals_.machines_lost += run_all(documents, runner, tell, ended).machines_lost;
  }
  const ExitCode code = end();
  fmt::print(stderr, "{}", comparison.text());  // a report may be on the other
  return code;
}

void Reporting::begin(std::size_t cells, report::Shard shard) {
  cells_ = cells;
  totals_.shard = shard;
  write_to(reports_, [this](report::Report& report) { report.begin(cells_); });
  progress_->begin(cells_);
}

void Reporting::cell(const report::CellReport& cell) {
  count(cell.verdict, totals_);
  write_to(reports_, [&cell](report::Report& report) { report.cell(cell); });
}

bool Reporting::is_read() const {
  return std::ferror(stdout) == 0 || std::ranges::any_of(files_, [](const OutputFile& file) {
           return std::ferror(file.stream()) == 0;
         });
}

ExitCode Reporting::end() {
  progress_->hide();
  totals_.not_run = cells_ - totals_.cells();
  totals_.interrupted = totals_.not_run > 0 ? Interruption::name() : "";
  totals_.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  write_to(reports_, [this](report::Report& report) { report.end(totals_); });
  ExitCode code = exit_code(totals_);
  for (OutputFile& file : files_) {
    if (const auto written = file.commit(); !written) {
      code = std::max(code, report_error(written.error()));
    }
  }
  return Interruption::signal() != 0 ? static_cast<ExitCode>(128 + Interruption::signal()) : code;
}

model::Verdict verdict_of(const selection::BadFile& file) {
  model::Finding finding = model::as_finding(file.error);
  finding.text = excerpt(finding.text);
  return {.findings = {std::move(finding)}};
}

ExitCode exit_code(const report::Totals& totals) {
  if (totals.harness_failed) {
    return ExitCode::harness_failed;
  }
  if (totals.errors > 0) {
    return ExitCode::bad_input;
  }
  return totals.failed > 0 ? ExitCode::failed : ExitCode::passed;
}

}  // namespace farcall::command
