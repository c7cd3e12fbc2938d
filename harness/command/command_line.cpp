#include "command/command_line.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <vector>

#include "command/commands.hpp"

namespace farcall::command {
namespace {

constexpr auto kCommands = {
    run_command,         merge_command,  replay_command,  new_command,
    list_command,        dump_command,   schemes_command, symbols_command,
    resolve_command,     debug_command,  trace_command,   console_command,
    conformance_command, doctor_command, vm_command,      bench_command,
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

int command_line(int argc, char** argv, const std::filesystem::path& images) {
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
