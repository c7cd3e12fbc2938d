#include "command/command_tree.hpp"

#include <algorithm>
#include <string_view>

namespace farcall::command {
namespace {

// CLI11 writes them after the type: `FORMAT:{text,json}`.
std::vector<std::string> choices_of(std::string_view type) {
  std::vector<std::string> choices;
  const auto open = type.find('{');
  const auto close = type.find('}', open == std::string_view::npos ? 0 : open);
  if (open == std::string_view::npos || close == std::string_view::npos) {
    return choices;
  }
  std::string_view list = type.substr(open + 1, close - open - 1);
  while (!list.empty()) {
    choices.emplace_back(list.substr(0, list.find(',')));
    list.remove_prefix(std::min(choices.back().size() + 1, list.size()));
  }
  return choices;
}

OptionHelp option_help(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  const bool flag = option.get_items_expected_max() == 0;
  const std::string word = type.substr(0, type.find_first_of(": "));
  return {.name = option.get_positional() ? option.get_name() : "--" + option.get_lnames().front(),
          .value = flag                                  ? ""
                   : word.empty() || word.front() == '{' ? "WORD"
                                                         : word,
          .description = option.get_description(),
          .choices = flag ? std::vector<std::string>{} : choices_of(type),
          .positional = option.get_positional(),
          .repeats = option.get_items_expected_max() > 1 ||
                     option.get_multi_option_policy() == CLI::MultiOptionPolicy::TakeAll};
}

std::vector<const CLI::App*> commands_of(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

CommandHelp command_help(const CLI::App& command, const std::string& before) {
  CommandHelp help{.name = before + command.get_name(),
                   .purpose = command.get_group(),
                   .description = command.get_description(),
                   .options = {},
                   .inner = {}};
  for (const CLI::Option* const option : command.get_options()) {
    help.options.push_back(option_help(*option));
  }
  for (const CLI::App* const inner : commands_of(command)) {
    help.inner.push_back(inner->get_name());
  }
  return help;
}

}  // namespace

std::vector<CommandHelp> command_tree(const CLI::App& app) {
  std::vector<CommandHelp> commands;
  for (const CLI::App* const command : commands_of(app)) {
    commands.push_back(command_help(*command, ""));
    for (const CLI::App* const inner : commands_of(*command)) {
      commands.push_back(command_help(*inner, command->get_name() + " "));
      commands.back().purpose = command->get_group();
    }
  }
  return commands;
}

}  // namespace farcall::command
