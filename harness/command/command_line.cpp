#include "command/command_line.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "command/commands.hpp"
#include "command/nearest.hpp"
#include "command/terminal.hpp"

namespace farcall::command {
namespace {

struct Group {
  const char* purpose;  // as `farcall --help` says it
  std::vector<Command (*)(CLI::App& app, const Invocation& invocation)> commands;
};

const std::array kGroups = {
    Group{"Run cells",
          {run_command, list_command, replay_command, merge_command, conformance_command}},
    Group{"Look at one cell closely",
          {dump_command, trace_command, debug_command, console_command, explain_command}},
    Group{"Compare schemes, names and addresses",
          {schemes_command, symbols_command, resolve_command}},
    Group{"Look after this machine", {doctor_command, vm_command, bench_command}},
    Group{"Get help", {completion_command, manual_command}},
};

ExitCode act(const Command& command) {
  try {
    const ExitCode code = command.action();
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
      return report_error(
          {.code = ErrorCode::file_unwritable, .message = "standard output could not be written"});
    }
    return code;
  } catch (const std::exception& error) {  // a broken environment, or a defect of farcall
    fmt::print(stderr, "error: {}\n", error.what());
    return ExitCode::harness_failed;
  }
}

}  // namespace

ExitCode report_error(const Error& error) {
  fmt::print(stderr, "{}\n", to_string(error));
  return name(error.code).starts_with("machine.") ? ExitCode::harness_failed : ExitCode::bad_input;
}

namespace {

std::string meant(std::string_view word, std::span<const std::string> known) {
  const auto near = nearest(word, known);
  return near ? fmt::format("; did you mean {}?", *near) : "";
}

// What CLI11 has to say about a command line, as farcall says it of everything else.
Error usage_error(const CLI::App& app, const CLI::ParseError& error) {
  const auto chosen = app.get_subcommands();
  Error said{
      .code = ErrorCode::usage_bad_argument,
      .message = error.what(),
      .hint = fmt::format("farcall{}{} --help shows what there is", chosen.empty() ? "" : " ",
                          chosen.empty() ? "" : chosen.front()->get_name())};
  std::vector<std::string> left = chosen.empty() ? app.remaining() : chosen.front()->remaining();
  if (left.empty()) {
    return said;
  }
  std::vector<std::string> known;
  if (left.front().starts_with('-')) {
    for (const CLI::Option* const option :
         (chosen.empty() ? &app : chosen.front())->get_options()) {
      for (const std::string& name : option->get_lnames()) {
        known.push_back("--" + name);
      }
    }
    said.message = fmt::format("there is no option {}{}", left.front(), meant(left.front(), known));
  } else if (chosen.empty()) {
    for (const CLI::App* const command :
         app.get_subcommands([](const CLI::App*) { return true; })) {
      known.push_back(command->get_name());
    }
    said.message =
        fmt::format("there is no command {}{}", left.front(), meant(left.front(), known));
  } else {
    said.message = fmt::format("'{}' was not expected", left.front());
  }
  return said;
}

}  // namespace

int command_line(int argc, char** argv, const std::filesystem::path& images) {
  suit_the_locale();
  CLI::App app(
      "farcall checks where a JITed BPF call lands on ppc64, however far away the callee is.");
  app.require_subcommand(1);
  app.set_version_flag("--version", FARCALL_VERSION);

  const Invocation invocation{.program = argv[0], .images = images};
  std::vector<Command> commands;
  for (const Group& group : kGroups) {
    for (const auto add : group.commands) {
      commands.push_back(add(app, invocation));
      commands.back().options->group(group.purpose);
    }
  }
  ExitCode code = ExitCode::passed;
  for (const Command& command : commands) {
    command.options->final_callback([&code, &command] { code = act(command); });
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& help) {
    app.exit(help);
  } catch (const CLI::ParseError& error) {
    code = report_error(usage_error(app, error));
  }
  return static_cast<int>(code);
}

}  // namespace farcall::command
