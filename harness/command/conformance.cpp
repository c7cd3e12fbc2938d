#include "conformance/conformance.hpp"

#include <fmt/format.h>

#include <CLI/App.hpp>
#include <array>
#include <memory>

#include "case/find.hpp"
#include "command/commands.hpp"
#include "command/options.hpp"

namespace farcall::command {
namespace {

struct Arguments {
  std::vector<std::string> paths;
  run::RunnerOptions runner;
};

std::string name_of(const conformance::Way& way) {
  return fmt::format("{} {}", way.endian == model::Endian::big ? "big-endian" : "little-endian",
                     way.engine == conformance::Engine::jit ? "JIT" : "interpreter");
}

// The ways of a file in which it is no pass, those with one reason together.
void print_file(const conformance::FileReport& report) {
  std::array<bool, conformance::kWays.size()> printed{};
  for (std::size_t i = 0; i < conformance::kWays.size(); ++i) {
    const conformance::Judgement& judgement = report.ways[i];
    if (printed[i] || judgement.standing == conformance::Standing::pass) {
      continue;
    }
    std::string ways;
    std::size_t count = 0;
    for (std::size_t k = i; k < conformance::kWays.size(); ++k) {
      if (report.ways[k].standing == judgement.standing && report.ways[k].text == judgement.text) {
        ways += fmt::format("{}{}", ways.empty() ? "" : ", ", name_of(conformance::kWays[k]));
        printed[k] = true;
        ++count;
      }
    }
    fmt::print("{:15} {}{}\n                {}\n", name(judgement.standing), report.path,
               count == conformance::kWays.size() ? "" : fmt::format(" ({})", ways),
               judgement.text);
  }
}

ExitCode conformance(const Arguments& arguments) {
  const auto [files, errors] = cases::find_data_files(arguments.paths);
  for (const Error& error : errors) {
    report_error(error);
  }
  if (!errors.empty()) {
    return ExitCode::bad_input;
  }
  std::array<std::array<std::size_t, conformance::kStandingCount>, conformance::kWays.size()>
      totals{};
  std::size_t reported = 0;
  bool harness_failed = false;
  conformance::run_conformance(files, arguments.runner, [&](const conformance::FileReport& report) {
    ++reported;
    harness_failed = harness_failed || report.harness_failed;
    print_file(report);
    for (std::size_t i = 0; i < conformance::kWays.size(); ++i) {
      ++totals[i][static_cast<std::size_t>(report.ways[i].standing)];
    }
  });
  if (reported != files.size()) {
    note(fmt::format("error: {} of {} files were reported", reported, files.size()));
    return ExitCode::harness_failed;
  }
  fmt::print("\n{} files{:18}", reported, "");
  for (std::size_t standing = 0; standing < conformance::kStandingCount; ++standing) {
    fmt::print("{:>16}", name(static_cast<conformance::Standing>(standing)));
  }
  fmt::print("\n");
  std::array<std::size_t, conformance::kStandingCount> all{};
  for (std::size_t i = 0; i < conformance::kWays.size(); ++i) {
    fmt::print("{:28}", name_of(conformance::kWays[i]));
    for (std::size_t standing = 0; standing < conformance::kStandingCount; ++standing) {
      all[standing] += totals[i][standing];
      fmt::print("{:16}", totals[i][standing]);
    }
    fmt::print("\n");
  }
  const auto of = [&all](conformance::Standing standing) {
    return all[static_cast<std::size_t>(standing)];
  };
  if (harness_failed) {
    return ExitCode::harness_failed;
  }
  if (of(conformance::Standing::fail) != 0) {
    return ExitCode::failed;
  }
  if (of(conformance::Standing::not_applicable) == reported * conformance::kWays.size()) {
    return report_error({.code = ErrorCode::usage_nothing_selected,
                         .message = fmt::format("none of {} files can be run", reported)});
  }
  return of(conformance::Standing::error) != 0 ? ExitCode::bad_input : ExitCode::passed;
}

}  // namespace

Command conformance_command(CLI::App& app, const Invocation& invocation) {
  const auto arguments = std::make_shared<Arguments>();
  arguments->runner = default_runner(invocation);
  CLI::App* const command = app.add_subcommand(
      "conformance", "Run files of the public conformance suite: interpreter and JIT, both orders");
  command->add_option("PATH", arguments->paths, ".data files, or folders to search for them")
      ->required();
  add_jobs(*command, arguments->runner);
  return {command, with_host(*command, arguments->runner.host,
                             [arguments] { return conformance(*arguments); })};
}

}  // namespace farcall::command
