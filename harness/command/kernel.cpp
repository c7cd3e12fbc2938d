#include <fmt/format.h>

#include <CLI/App.hpp>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "command/commands.hpp"
#include "command/defects.hpp"
#include "command/options.hpp"
#include "engine/jit.hpp"

namespace farcall::command {
namespace {

struct DefectsArguments {
  std::vector<std::string> trees;
  bool json = false;
  run::RunnerOptions runner;
};

ExitCode defects(const DefectsArguments& arguments) {
  const std::filesystem::path glue = arguments.runner.images / "kernel-jit";
  std::vector<engine::Jit> jits;
  for (const std::string& tree : arguments.trees) {
    auto jit = engine::jit_named("kernel:" + tree, glue);
    if (!jit) {
      return report_error(jit.error());
    }
    jits.push_back(std::move(jit).value());
  }
  const auto table = find_defects(glue / "defects", jits, arguments.runner);
  if (!table) {
    return report_error(table.error());
  }
  fmt::print("{}", arguments.json ? to_json(table.value()).dump(1) + "\n" : text(table.value()));
  return ExitCode::passed;
}

}  // namespace

Command kernel_command(CLI::App& app, const Invocation& invocation) {
  const auto arguments = std::make_shared<DefectsArguments>();
  arguments->runner = default_runner(invocation);
  CLI::App* const kernel_app = app.add_subcommand("kernel", "What is known of Linux's powerpc JIT");
  kernel_app->require_subcommand(1);
  CLI::App* const defects_app = kernel_app->add_subcommand(
      "defects", "Show which known defects the JITs of Linux source trees have");
  defects_app->add_option("DIR", arguments->trees, "Linux source trees, as for --jit kernel:DIR")
      ->required();
  defects_app->add_flag("--json", arguments->json, "The table as JSON");
  return {kernel_app, [arguments] { return defects(*arguments); }};
}

}  // namespace farcall::command
