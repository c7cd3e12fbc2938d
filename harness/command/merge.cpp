#include "report/merge.hpp"

#include <fmt/format.h>

#include <CLI/App.hpp>
#include <memory>

#include "base/files.hpp"
#include "command/commands.hpp"
#include "command/reporting.hpp"

namespace farcall::command {
namespace {

struct MergeArguments {
  std::vector<std::string> parts;
  std::string output;
};

ExitCode merge(const MergeArguments& arguments) {
  std::vector<report::Part> parts;
  for (const std::string& path : arguments.parts) {
    auto text = read_file(path, "farcall run … --shard I/N --output FILE writes such a file");
    if (!text) {
      return report_error(text.error());
    }
    parts.push_back({path, std::move(text).value()});
  }
  const auto merged = report::merge(parts);
  if (!merged) {
    return report_error(merged.error());
  }
  const auto& [text, totals, trouble] = merged.value();
  if (const auto written = write_output(arguments.output, text); !written) {
    return report_error(written.error());
  }
  report::text_report(stdout, {})->end(totals);
  for (const std::string& words : trouble) {
    note("error: " + words);
  }
  const ExitCode code = exit_code(totals);
  return trouble.empty() || code == ExitCode::harness_failed ? code : ExitCode::bad_input;
}

}  // namespace

Command merge_command(CLI::App& app, const Invocation& /*unused*/) {
  const auto arguments = std::make_shared<MergeArguments>();
  CLI::App* const merge_app =
      app.add_subcommand("merge", "Join the reports of shards, and end as one run of all would");
  merge_app->add_option("REPORT", arguments->parts, "Reports of --format json, or all of junit")
      ->required();
  merge_app->add_option("--output", arguments->output, "Write the report of all to this file")
      ->type_name("FILE")
      ->required();
  return {merge_app, [arguments] { return merge(*arguments); }};
}

}  // namespace farcall::command
