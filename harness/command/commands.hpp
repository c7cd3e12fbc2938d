// The commands of farcall, one function and one file each.
//
// Output goes to standard output, errors and progress to standard error.
#pragma once

#include <CLI/App.hpp>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "command/command_line.hpp"

namespace farcall::command {

// How farcall was started.
struct Invocation {
  std::string program;           // as the user called it, for commands to repeat
  std::filesystem::path images;  // the folder of guest images
};

// What CLI11 knows of a command, and what the command does once its options are parsed.
struct Command {
  CLI::App* options;
  std::function<ExitCode()> action;
};

// Each adds its command to `app`.
Command run_command(CLI::App& app, const Invocation& invocation);
Command fuzz_command(CLI::App& app, const Invocation& invocation);
Command reduce_command(CLI::App& app, const Invocation& invocation);
Command new_command(CLI::App& app, const Invocation& invocation);
Command list_command(CLI::App& app, const Invocation& invocation);
Command merge_command(CLI::App& app, const Invocation& invocation);
Command replay_command(CLI::App& app, const Invocation& invocation);
Command dump_command(CLI::App& app, const Invocation& invocation);
Command schemes_command(CLI::App& app, const Invocation& invocation);
Command faults_command(CLI::App& app, const Invocation& invocation);
Command symbols_command(CLI::App& app, const Invocation& invocation);
Command resolve_command(CLI::App& app, const Invocation& invocation);
Command conformance_command(CLI::App& app, const Invocation& invocation);
Command debug_command(CLI::App& app, const Invocation& invocation);
Command trace_command(CLI::App& app, const Invocation& invocation);
Command console_command(CLI::App& app, const Invocation& invocation);
Command kernel_command(CLI::App& app, const Invocation& invocation);
Command doctor_command(CLI::App& app, const Invocation& invocation);
Command vm_command(CLI::App& app, const Invocation& invocation);
Command bench_command(CLI::App& app, const Invocation& invocation);
Command explain_command(CLI::App& app, const Invocation& invocation);
Command completion_command(CLI::App& app, const Invocation& invocation);
Command manual_command(CLI::App& app, const Invocation& invocation);

// A line on standard error, if somebody reads that: nothing depends on it.
void note(std::string_view line);

// Says what went wrong and which exit code that is.
ExitCode report_error(const Error& error);

// Writes what a command was to make to the file, or to standard output if `path` is empty.
ExitCode write_or_report(const std::string& path, std::string_view contents);

}  // namespace farcall::command
