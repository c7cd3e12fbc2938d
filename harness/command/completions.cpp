#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string_view>

#include "command/command_tree.hpp"

namespace farcall::command {
namespace {

// `text` with a backslash before each character of `special`.
std::string escaped(std::string_view text, std::string_view special) {
  std::string result;
  for (const char c : text) {
    if (special.find(c) != std::string_view::npos) {
      result += '\\';
    }
    result += c;
  }
  return result;
}

// Within single quotes of a POSIX shell, and of zsh.
std::string single_quoted(std::string_view text) {
  std::string result = "'";
  for (const char c : text) {
    result += c == '\'' ? "'\\''" : std::string(1, c);
  }
  return result + "'";
}

std::string names_of(const CommandHelp& command) {
  std::string names;
  for (const OptionHelp& option : command.options) {
    if (!option.positional) {
      names += (names.empty() ? "" : " ") + option.name;
    }
  }
  return names;
}

std::string last_word(const CommandHelp& command) {
  return command.name.substr(command.name.find(' ') + 1);
}

std::vector<const CommandHelp*> inner_of(const std::vector<CommandHelp>& commands,
                                         const CommandHelp& outer) {
  std::vector<const CommandHelp*> found;
  for (const CommandHelp& command : commands) {
    if (command.name.starts_with(outer.name + " ")) {
      found.push_back(&command);
    }
  }
  return found;
}

std::string zsh_command(const CommandHelp& command) {
  return single_quoted(
      fmt::format("{}:{}", last_word(command), escaped(command.description, ":\\")));
}

// When fish offers what goes with a command: after its words. One of another command may have the same last
// word, so that what fish has for that, __fish_seen_subcommand_from, does not tell them apart.
constexpr std::string_view kFishFunctions = R"(function __farcall_words
    set -l words (commandline -opc)
    set -e words[1]
    set -l last (count $argv)
    test (count $words) -ge $last; and test "$words[1..$last]" = "$argv"
end
function __farcall_only
    set -l words (commandline -opc)
    test (count $words) -eq (math (count $argv) + 1); and __farcall_words $argv
end
)";

// What is one of a few words goes by itself; what else takes a value takes a file, as far as a
// shell can know.
std::string zsh_option(const OptionHelp& option) {
  std::string spec = option.positional ? (option.repeats ? "*" : "") : option.repeats ? "*" : "";
  if (!option.positional) {
    spec += fmt::format("{}{}[{}]", option.name, option.value.empty() ? "" : "=",
                        escaped(option.description, "[]:\\"));
  }
  if (option.positional || !option.value.empty()) {
    const std::string message = option.positional ? option.name : option.value;
    const std::string action =
        option.choices.empty() ? "_files" : fmt::format("({})", fmt::join(option.choices, " "));
    spec += fmt::format(":{}:{}", escaped(message, "[]:\\"), action);
  }
  return single_quoted(spec);
}

}  // namespace

std::string bash_completion(const std::vector<CommandHelp>& commands) {
  std::string all;
  std::string inner;
  std::string values;
  std::string options;
  for (const CommandHelp& command : commands) {
    if (!command.is_inner()) {
      all += (all.empty() ? "" : " ") + command.name;
    }
    if (!command.inner.empty()) {
      inner += fmt::format("    {}) words='{}' ;;\n", command.name, fmt::join(command.inner, " "));
    }
    options += fmt::format("    '{}') words='{}' ;;\n", command.name, names_of(command));
    for (const OptionHelp& option : command.options) {
      if (!option.choices.empty()) {
        values += fmt::format("    '{} {}') words='{}' ;;\n", command.name,
                              option.positional ? "" : option.name, fmt::join(option.choices, " "));
      } else if (!option.value.empty() && !option.positional) {
        values += fmt::format("    '{} {}') return ;;\n", command.name, option.name);
      }
    }
  }
  return fmt::format(R"(# bash completion for farcall; made by `farcall completion bash`.
_farcall() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} words=
  COMPREPLY=()
  # bash takes --option=value for three words.
  if [[ $current == = ]]; then
    current=
  elif [[ $before == = ]]; then
    before=${{COMP_WORDS[COMP_CWORD-2]}}
  fi
  if ((COMP_CWORD == 1)); then
    COMPREPLY=($(compgen -W '{} --help --version' -- "$current"))
    return
  fi
  local command=${{COMP_WORDS[1]}} option=
  case $command in
{}  esac
  if [[ -n $words ]]; then
    if ((COMP_CWORD == 2)); then
      COMPREPLY=($(compgen -W "$words --help" -- "$current"))
      return
    fi
    command+=" ${{COMP_WORDS[2]}}" words=
  fi
  [[ $before == -* ]] && option=$before
  case "$command $option" in
{}  esac
  if [[ -z $words && $current == -* ]]; then
    case $command in
{}    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o default -F _farcall farcall
)",
                     all, inner, values, options);
}

std::string zsh_completion(const std::vector<CommandHelp>& commands) {
  std::string all;
  std::string inner;
  std::string options;
  for (const CommandHelp& command : commands) {
    if (!command.is_inner()) {
      all += fmt::format("    {}\n", zsh_command(command));
    }
    if (!command.inner.empty()) {
      inner += fmt::format("    {})\n      commands=(\n", command.name);
      for (const CommandHelp* const one : inner_of(commands, command)) {
        inner += fmt::format("        {}\n", zsh_command(*one));
      }
      inner += "      )\n      ;;\n";
    }
    options += fmt::format("    '{}')\n      _arguments", command.name);
    for (const OptionHelp& option : command.options) {
      options += fmt::format(" \\\n        {}", zsh_option(option));
    }
    options += "\n      ;;\n";
  }
  return fmt::format(R"(#compdef farcall
# zsh completion for farcall; made by `farcall completion zsh`.
_farcall() {{
  local -a commands=(
{}  )
  if ((CURRENT == 2)); then
    _describe command commands
    return
  fi
  local command=$words[2]
  shift words
  ((CURRENT--))
  commands=()
  case $command in
{}  esac
  if (($#commands)); then
    if ((CURRENT == 2)); then
      _describe command commands
      return
    fi
    command+=" $words[2]"
    shift words
    ((CURRENT--))
  fi
  case $command in
{}  esac
}}
_farcall "$@"
)",
                     all, inner, options);
}

std::string fish_completion(const std::vector<CommandHelp>& commands) {
  // In fish's single quotes, a backslash escapes itself and the quote.
  const auto word = [](std::string_view text) { return "'" + escaped(text, "\\'") + "'"; };
  std::string script = fmt::format(
      "# fish completion for farcall; made by `farcall completion fish`.\n{}", kFishFunctions);
  for (const CommandHelp& command : commands) {
    if (!command.is_inner()) {
      script += fmt::format("complete -c farcall -f -n __fish_use_subcommand -a {} -d {}\n",
                            command.name, word(command.description));
    }
    const std::string condition = fmt::format(
        "{} {}", command.inner.empty() ? "__farcall_words" : "__farcall_only", command.name);
    for (const CommandHelp* const inner : inner_of(commands, command)) {
      script += fmt::format("complete -c farcall -f -n '{}' -a {} -d {}\n", condition,
                            last_word(*inner), word(inner->description));
    }
    for (const OptionHelp& option : command.options) {
      if (option.positional && option.choices.empty()) {
        continue;  // fish completes files by itself
      }
      const std::string name =
          option.positional ? "-f" : "-l " + option.name.substr(std::string_view("--").size());
      const std::string value =
          option.positional || !option.choices.empty()
              ? fmt::format("{} -a {}", option.positional ? "" : " -x",
                            word(fmt::format("{}", fmt::join(option.choices, " "))))
              : (option.value.empty() ? "" : " -r");
      // An argument that is one of a few words is a command's first.
      const bool is_once = option.positional && !option.repeats;
      script += fmt::format("complete -c farcall -n '{}' {}{} -d {}\n",
                            is_once ? "__farcall_only " + command.name : condition, name, value,
                            word(option.description));
    }
  }
  return script;
}

}  // namespace farcall::command
