#include "command/command_line.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <vector>

#include "command/commands.hpp"

namespace farcall::command {
namespace {

constexpr auto kCommands = {
    run_command,   merge_command,   replay_command,      new_command,     list_command,
    dump_command,  schemes_command, symbols_command,     resolve_command, debug_command,
    trace_command, console_command, conformance_command, kernel_command,  doctor_command,
    vm_command,    bench_command,
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

int command_line(int argc, char** argv, const std::filesystem::path& images) {
  occupy_standard_descriptors();
  CLI::App app(
      "farcall checks where a JITed BPF call lands on ppc64, however far away the callee is.");
  app.require_subcommand(1);
  app.set_version_flag("--version", FARCALL_VERSION);

  const Invocation invocation{.program = argv[0], .images = images};
  std::vector<Command> commands;
  for (const auto add : kCommands) {
    commands.push_back(add(app, invocation));
  }
  ExitCode code = ExitCode::passed;
  for (const Command& command : commands) {
    command.options->final_callback([&code, &command] { code = act(command); });
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    code = app.exit(error) == 0 ? ExitCode::passed : ExitCode::bad_input;
  }
  return static_cast<int>(code);
}

}  // namespace farcall::command
