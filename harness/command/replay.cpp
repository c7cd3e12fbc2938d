#include <fmt/format.h>

#include <CLI/App.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/files.hpp"
#include "case/hardware.hpp"
#include "command/commands.hpp"
#include "command/options.hpp"
#include "command/reporting.hpp"
#include "command/shell_word.hpp"
#include "command/versions.hpp"
#include "model/json.hpp"
#include "model/json_error.hpp"
#include "run/runner.hpp"

namespace farcall::command {
namespace {

struct ReplayArguments {
  std::string program;
  std::string bundle;
  run::RunnerOptions runner;
  ReportOptions reports;
};

// A bundle as report/bundle.cpp writes it.
struct Bundle {
  std::string farcall;  // versions that packed it
  std::string qemu;
  std::vector<model::Document> documents;
  std::vector<std::uint64_t> seeds;  // that each ran with
  std::vector<std::string> codes;    // of the finding that each failed by
};

Result<Bundle> read_bundle(const std::string& path) {
  FARCALL_TRY(text, read_file(path, "farcall run … --bundle FILE writes such a file"));
  Bundle bundle;
  try {
    const model::Json json = model::Json::parse(text);
    bundle.farcall = json.at("farcall").at("version").get<std::string>();
    bundle.qemu = json.at("qemu").get<std::string>();
    for (const model::Json& cell : json.at("cells")) {
      FARCALL_TRY(document, model::read_document(cell.at("document").dump(), path));
      if (!cases::is_possible(document.cell.axes)) {
        return Error{.code = ErrorCode::json_malformed,
                     .message = fmt::format("{}: there is no such machine", document.cell.name),
                     .where = {path}};
      }
      bundle.documents.push_back(std::move(document));
      bundle.seeds.push_back(cell.at("seed").get<std::uint64_t>());
      const model::Json& findings = cell.at("verdict").at("findings");
      bundle.codes.push_back(findings.empty() ? "" : findings[0].at("code").get<std::string>());
    }
  } catch (const model::Json::exception& error) {
    return Error{.code = ErrorCode::json_malformed,
                 .message = fmt::format("this is not a bundle: {}", model::reason(error)),
                 .where = {path},
                 .hint = "farcall run … --bundle FILE writes one"};
  }
  if (bundle.documents.empty()) {
    return Error{.code = ErrorCode::usage_nothing_selected,
                 .message = "nothing had failed: there is nothing to replay",
                 .where = {path}};
  }
  return bundle;
}

ExitCode replay(const ReplayArguments& arguments) {
  const auto begin = std::chrono::steady_clock::now();
  auto read = read_bundle(arguments.bundle);
  if (!read) {
    return report_error(read.error());
  }
  Bundle& bundle = read.value();
  auto reporting = Reporting::open(arguments.reports, begin);
  if (!reporting) {
    return report_error(reporting.error());
  }
  note(fmt::format("packed by farcall {}, {}\nhere are  farcall {}, {}", bundle.farcall,
                   bundle.qemu, FARCALL_VERSION, qemu_version()));
  const std::size_t count = bundle.documents.size();
  std::size_t same = 0;
  const auto replay = [&](const run::FinishedCell& finished) {
    const auto& findings = finished.verdict.findings;
    const std::string_view code = findings.empty() ? "" : name(findings.front().code);
    same += bundle.codes[finished.index] == code ? 1U : 0U;
    return fmt::format("{} replay {}", shell_word(arguments.program), shell_word(arguments.bundle));
  };
  const run::Documents documents(std::move(bundle.documents), 1,
                                 [&bundle](std::size_t number) { return bundle.seeds[number]; });
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
