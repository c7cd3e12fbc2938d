#include "command/command_line.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "base/files.hpp"
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
          {run_command, list_command, new_command, replay_command, merge_command,
           conformance_command, fuzz_command}},
    Group{"Look at one cell closely",
          {dump_command, trace_command, debug_command, console_command, reduce_command,
           explain_command}},
    Group{"Compare schemes, names, addresses and kernels",
          {schemes_command, symbols_command, resolve_command, kernel_command}},
    Group{"Look after this machine", {doctor_command, vm_command, bench_command, faults_command}},
    Group{"Get help", {completion_command, manual_command}},
};

Error unwritable_output() {
  return {.code = ErrorCode::file_unwritable, .message = "standard output could not be written"};
}

// A standard descriptor that is closed would be taken by the next file or socket, and what is meant
// for the user would go there. In its place: nothing to read, and writing is an error where it is
// output that gets lost.
void occupy_standard_descriptors() {
  constexpr std::array kModes = {O_RDONLY, O_RDONLY, O_WRONLY};
  for (int number = STDIN_FILENO; number <= STDERR_FILENO; ++number) {
    if (::fcntl(number, F_GETFD) < 0) {
      // It is the lowest one that is free, so this is its number.
      static_cast<void>(::open("/dev/null", kModes[static_cast<std::size_t>(number)]));
    }
  }
}

ExitCode act(const Command& command) {
  try {
    const ExitCode code = command.action();
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
      return report_error(unwritable_output());
    }
    return code;
  } catch (const std::exception& error) {  // a broken environment, or a defect of farcall
    if (std::ferror(stdout) != 0) {        // fmt throws where it cannot write
      return report_error(unwritable_output());
    }
    note(fmt::format("error: {}", error.what()));
    return ExitCode::harness_failed;
  }
}

}  // namespace

void note(std::string_view line) {
  std::fputs(fmt::format("{}\n", line).c_str(), stderr);
}

ExitCode report_error(const Error& error) {
  note(to_string(error));
  const Blame blamed = blame(error.code);
  return blamed == Blame::machine || blamed == Blame::harness ? ExitCode::harness_failed
                                                              : ExitCode::bad_input;
}

ExitCode write_or_report(const std::string& path, std::string_view contents) {
  const auto written = write_output(path, contents);
  return written ? ExitCode::passed : report_error(written.error());
}

namespace {

std::string meant(std::string_view word, std::span<const std::string> known) {
  const auto near = nearest(word, known);
  return near ? fmt::format("; did you mean {}?", *near) : "";
}

// The command that the line has come to: `kernel fetch` of `farcall kernel fetch`.
struct Chosen {
  const CLI::App* app = nullptr;
  std::string words = "farcall";
};

Chosen chosen_command(const CLI::App& app) {
  Chosen chosen{.app = &app};
  for (auto next = app.get_subcommands(); !next.empty(); next = chosen.app->get_subcommands()) {
    chosen.app = next.front();
    chosen.words += " " + chosen.app->get_name();
  }
  return chosen;
}

// What CLI11 has to say about a command line, as farcall says it of everything else.
Error usage_error(const CLI::App& app, const CLI::ParseError& error) {
  const Chosen chosen = chosen_command(app);
  Error said{.code = ErrorCode::usage_bad_argument,
             .message = error.what(),
             .hint = chosen.words + " --help shows what there is"};
  const std::vector<std::string> left = app.remaining(true);
  if (left.empty()) {
    return said;
  }
  std::vector<std::string> known;
  const auto commands = chosen.app->get_subcommands([](const CLI::App*) { return true; });
  if (left.front().starts_with('-')) {
    for (const CLI::Option* const option : chosen.app->get_options()) {
      for (const std::string& name : option->get_lnames()) {
        known.push_back("--" + name);
      }
    }
    said.message = fmt::format("there is no option {}{}", left.front(), meant(left.front(), known));
  } else if (!commands.empty()) {
    for (const CLI::App* const command : commands) {
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
  occupy_standard_descriptors();
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
