#include "command/reporting.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/Option.hpp>
#include <CLI/Validators.hpp>
#include <algorithm>
#include <array>
#include <cstdlib>
#include <functional>

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
  totals.harness_failed = totals.harness_failed || run::is_harness_failure(verdict);
}

}  // namespace

void add_reports(CLI::App& command, ReportOptions& options) {
  command
      .add_option(
          "--format", options.formats,
          fmt::format("{}; several, one before each --output", fmt::join(format_names(), ", ")))
      ->check(CLI::IsMember(format_names()))
      ->type_name("FORMAT")
      ->expected(1)
      ->take_all();
  command
      .add_option("--output", options.outputs,
                  "Write the report of the --format before to this file, and text to the terminal")
      ->type_name("FILE")
      ->expected(1)
      ->take_all();
  command
      .add_option("--bundle", options.bundle,
                  "Pack the cells that do not pass into this file, for `farcall replay` elsewhere")
      ->type_name("FILE");
}

Result<std::FILE*> Reporting::open_file(const std::string& path) {
  File file(std::fopen(path.c_str(), "w"), std::fclose);
  if (!file) {
    return Error{
        .code = ErrorCode::file_unwritable, .message = "cannot be written", .where = {path}};
  }
  return files_.emplace_back(path, std::move(file)).second.get();
}

Result<Reporting> Reporting::open(const ReportOptions& options,
                                  std::chrono::steady_clock::time_point since) {
  const std::size_t formats = options.formats.size();
  const std::size_t outputs = options.outputs.size();
  if (formats > outputs + 1 || (outputs > 1 && outputs > formats)) {
    return Error{.code = ErrorCode::usage_bad_argument,
                 .message = fmt::format("{} --format and {} --output: expected one --format for "
                                        "each --output, and at most one more for the terminal",
                                        formats, outputs)};
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
  add(formats > outputs ? options.formats.back() : "text", stdout);
  return reporting;
}

void Reporting::begin(std::size_t cells, report::Shard shard) {
  cells_ = cells;
  totals_.shard = shard;
  for (const auto& report : reports_) {
    report->begin(cells);
  }
  progress_->begin(cells);
  interruption_ = std::make_unique<Interruption>([this] {
    const std::scoped_lock lock(*mutex_);
    totals_.interrupted = true;
    (void)close_reports();
  });
}

std::function<void(const model::Verdict&)> Reporting::ended() {
  return [this](const model::Verdict& verdict) {
    const std::scoped_lock lock(*mutex_);
    progress_->advance(verdict.outcome != model::Outcome::pass &&
                       verdict.outcome != model::Outcome::skip);
  };
}

void Reporting::cell(const run::Outcome& outcome, std::string replay) {
  const std::scoped_lock lock(*mutex_);
  count(outcome.verdict, totals_);
  const check::Testimony& testimony = outcome.testimony;
  const report::CellReport cell{
      .cell = outcome.document.cell,
      .verdict = outcome.verdict,
      .image = testimony.image ? &*testimony.image : nullptr,
      .observations = testimony.observations ? &*testimony.observations : nullptr,
      .landmarks = testimony.landmarks,
      .replay = std::move(replay)};
  for (const auto& report : reports_) {
    report->cell(cell);
  }
}

Result<ExitCode> Reporting::end() {
  interruption_.reset();  // from here on, a signal ends farcall as always
  FARCALL_TRYV(close_reports());
  return exit_code(totals_);
}

Result<void> Reporting::close_reports() {
  progress_->hide();
  totals_.not_run = cells_ - totals_.cells();
  totals_.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  for (const auto& report : reports_) {
    report->end(totals_);
  }
  for (auto& [path, file] : files_) {
    const bool failed = std::ferror(file.get()) != 0;
    if (std::fclose(file.release()) != 0 || failed) {
      return Error{.code = ErrorCode::file_unwritable,
                   .message = "the report could not be written",
                   .where = {path}};
    }
  }
  return std::fflush(stdout) == 0 ? Result<void>(success())
                                  : Error{.code = ErrorCode::file_unwritable,
                                          .message = "standard output could not be written"};
}

ExitCode exit_code(const report::Totals& totals) {
  if (totals.harness_failed) {
    return ExitCode::harness_failed;
  }
  if (totals.failed > 0) {
    return ExitCode::failed;
  }
  return totals.errors > 0 ? ExitCode::bad_input : ExitCode::passed;
}

}  // namespace farcall::command
