// Options that several commands have.
#pragma once

#include <CLI/App.hpp>
#include <CLI/Validators.hpp>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "command/commands.hpp"
#include "run/runner.hpp"
#include "selection/select.hpp"
#include "show/tag.hpp"
#include "vm/host.hpp"

namespace farcall::command {

// An option that may be given several times, each time with one value: what follows it is not taken
// for more of them. Where an option takes several values, its help shows `FILE ...`.
CLI::Option* one_each(CLI::Option* option);

// --filter, --where and --shard.
void add_selection(CLI::App& command, selection::Selection& selection);

// --shard I/N of it; `help` says what a part is.
void add_shard(CLI::App& command, report::Shard& shard, const std::string& help);

// --jobs; `runner` has its default.
void add_jobs(CLI::App& command, run::RunnerOptions& runner);

// For a value that is one of a few words; the error names the nearest.
CLI::Validator one_of(std::vector<std::string> words);
template <typename Value>
CLI::Validator one_of(const std::map<std::string, Value>& choices) {
  std::vector<std::string> words;
  for (const auto& choice : choices) {
    words.push_back(choice.first);
  }
  return one_of(std::move(words));
}

// An option whose value is one of a few words. CLI11's own for enums prints their numbers as
// characters when it refuses one.
template <typename Enum>
void add_choice(CLI::App& command, const std::string& option, Enum& value,
                const std::map<std::string, Enum>& choices, const std::string& description,
                const std::string& type_name) {
  command
      .add_option_function<std::string>(
          option, [&value, choices](const std::string& word) { value = choices.at(word); },
          description)
      ->type_name(type_name)
      ->check(one_of(choices));
}

// --jit: who makes the code. One of these texts for each, for jit_named().
void add_jit(CLI::App& command, std::string& jit);

// --allow: codes of findings that do not make a cell fail.
void add_allow(CLI::App& command, run::RunnerOptions& runner);

// --fresh-boot: of a stock kernel.
CLI::Option* add_fresh_boot(CLI::App& command, bool& fresh_boot);

// --tag-hash; `hash` has its default.
void add_tag_hash(CLI::App& command, show::TagHash& hash);

// --vm and --connect: who starts machines. Returns `action` for a host that was chosen so: while it
// runs, `host` is that one. There is no action if the host cannot be had.
std::function<ExitCode()> with_host(CLI::App& command, vm::Host*& host,
                                    std::function<ExitCode()> action);

// As many machines as cores, guest images from where farcall has them.
run::RunnerOptions default_runner(const Invocation& invocation);

}  // namespace farcall::command
