#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Validators.hpp>
#include <map>
#include <memory>
#include <string>

#include "command/command_tree.hpp"
#include "command/commands.hpp"
#include "command/options.hpp"

namespace farcall::command {
namespace {

using Script = std::string (*)(const std::vector<CommandHelp>& commands);

const std::map<std::string, Script> kShells = {
    {"bash", bash_completion}, {"zsh", zsh_completion}, {"fish", fish_completion}};

}  // namespace

Command completion_command(CLI::App& app, const Invocation& /*unused*/) {
  const auto shell = std::make_shared<std::string>();
  CLI::App* const completion_app = app.add_subcommand(
      "completion", "Print what lets a shell complete farcall's commands and options");
  completion_app->add_option("SHELL", *shell, "bash, zsh or fish")
      ->required()
      ->check(one_of(kShells));
  return {completion_app, [shell, &app] {
            fmt::print("{}", kShells.at(*shell)(command_tree(app)));
            return ExitCode::passed;
          }};
}

Command manual_command(CLI::App& app, const Invocation& /*unused*/) {
  CLI::App* const manual_app =
      app.add_subcommand("manual", "Print the manual page: farcall manual | man -l -");
  return {manual_app, [&app] {
            fmt::print("{}", manual_page(command_tree(app)));
            return ExitCode::passed;
          }};
}

}  // namespace farcall::command
