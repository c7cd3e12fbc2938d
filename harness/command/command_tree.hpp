// The commands and their options as values, for what is made from them: completions of shells and
// the manual page.
#pragma once

#include <CLI/App.hpp>
#include <string>
#include <vector>

namespace farcall::command {

struct OptionHelp {
  std::string name;         // `--filter`; an argument without a name of its own: `PATH`
  std::string value;        // `GLOB`; empty: it takes none
  std::string description;  // one line
  std::vector<std::string> choices = {};  // all values that it may have; empty: others
  bool positional = false;
  bool repeats = false;  // may be given several times
};

struct CommandHelp {
  std::string name;     // `run`; `kernel fetch` of one that is in another
  std::string purpose;  // the group that it is in
  std::string description;
  std::vector<OptionHelp> options;
  std::vector<std::string> inner;  // the last words of the commands in it, which come after it

  bool is_inner() const { return name.find(' ') != std::string::npos; }
};

// In the order of `farcall --help`.
std::vector<CommandHelp> command_tree(const CLI::App& app);

// Scripts that let a shell complete farcall's command line.
std::string bash_completion(const std::vector<CommandHelp>& commands);
std::string zsh_completion(const std::vector<CommandHelp>& commands);
std::string fish_completion(const std::vector<CommandHelp>& commands);

// The page farcall(1), for man.
std::string manual_page(const std::vector<CommandHelp>& commands);

}  // namespace farcall::command
