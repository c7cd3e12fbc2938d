#include <fmt/format.h>

#include <CLI/App.hpp>
#include <memory>

#include "base/files.hpp"
#include "case/hardware.hpp"
#include "command/commands.hpp"
#include "command/options.hpp"
#include "command/reporting.hpp"
#include "command/shell_word.hpp"
#include "command/versions.hpp"
#include "report/bundle.hpp"
#include "run/runner.hpp"

namespace farcall::command {
namespace {

struct ReplayArguments {
  std::string program;
  std::string bundle;
  run::RunnerOptions runner;
  ReportOptions reports;
};

Result<report::Bundle> read_replayable(const std::string& path) {
  FARCALL_TRY(text, read_file(path, "farcall run … --bundle FILE writes such a file"));
  FARCALL_TRY(bundle, report::read_bundle(text, path));
  for (const report::Bundled& one : bundle.cells) {
    if (!cases::is_possible(one.document.cell.axes)) {
      return Error{.code = ErrorCode::json_malformed,
                   .message = fmt::format("{}: no machine has such axes", one.document.cell.name),
                   .where = {path}};
    }
  }
  return std::move(bundle);
}

ExitCode replay(const ReplayArguments& arguments) {
  const auto begin = std::chrono::steady_clock::now();
  auto read = read_replayable(arguments.bundle);
  if (!read) {
    return report_error(read.error());
  }
  const report::Bundle& bundle = read.value();
  auto reporting = Reporting::open(arguments.reports, begin);
  if (!reporting) {
    return report_error(reporting.error());
  }
  note(fmt::format("packed by farcall {}, {}\nhere are  farcall {}, {}", bundle.farcall,
                   bundle.qemu, FARCALL_VERSION, qemu_version()));
  const std::size_t count = bundle.cells.size();
  std::size_t same = 0;
  const auto replay = [&](const run::FinishedCell& finished) {
    const auto& findings = finished.verdict.findings;
    const std::string_view code = findings.empty() ? "" : name(findings.front().code);
    same += bundle.cells[finished.index].code == code ? 1U : 0U;
    return fmt::format("{} replay {}", shell_word(arguments.program), shell_word(arguments.bundle));
  };
  std::vector<model::Document> all;
  for (const report::Bundled& one : bundle.cells) {
    all.push_back(one.document);
  }
  const run::Documents documents(
      std::move(all), 1, [&bundle](std::size_t number) { return bundle.cells[number].seed; });
  const ExitCode code = reporting.value().run(
      documents, arguments.runner, std::span(&engine::farcall_jit(), 1), {}, {}, replay, nullptr);
  note(fmt::format("{} of {} end as they did when they were packed", same, count));
  return code;
}

}  // namespace

Command replay_command(CLI::App& app, const Invocation& invocation) {
  const auto arguments = std::make_shared<ReplayArguments>();
  arguments->program = invocation.program;
  arguments->runner = default_runner(invocation);
  CLI::App* const replay_app =
      app.add_subcommand("replay", "Run the cells that `farcall run --bundle` packed");
  replay_app->add_option("BUNDLE", arguments->bundle, "The file")->required();
  add_reports(*replay_app, arguments->reports);
  replay_app->parse_complete_callback([replay_app] { check_pairs(*replay_app); });
  add_jobs(*replay_app, arguments->runner);
  return {replay_app, with_host(*replay_app, arguments->runner.host,
                                [arguments] { return replay(*arguments); })};
}

}  // namespace farcall::command
