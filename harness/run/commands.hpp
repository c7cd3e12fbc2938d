// One function for each command of the command line. Output goes to standard output, errors and
// progress to standard error.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "run/command_line.hpp"
#include "run/runner.hpp"
#include "run/select.hpp"

namespace farcall::run {

enum class Format { text, json, junit, tap };

struct RunArguments {
  Selection selection;
  std::vector<std::string> from;  // stage documents instead of a selection
  std::string program;            // how the user called farcall, for replay commands
  Format format = Format::text;
  std::string output;      // the report goes to this file, and text to standard output
  std::size_t repeat = 1;  // every cell so many times
  RunnerOptions runner;
};

ExitCode run_command(const RunArguments& arguments);
ExitCode list_command(const Selection& selection);

// Says what this machine has and lacks of what farcall needs, and how to mend it.
ExitCode doctor_command(const RunnerOptions& runner);

struct DumpArguments {
  std::string cell;  // FILE@CELL
  std::string stage;
  Format format = Format::text;
  RunnerOptions runner;
};

// The names of the stages that dump_command() knows, in the order of the pipeline.
const std::vector<std::string>& stage_names();
ExitCode dump_command(const DumpArguments& arguments);

// Runs `programs` generated programs, each with two functions, all with other bytes and other
// placements, through every stage, and prints programs a second.
ExitCode bench_command(std::size_t programs, const RunnerOptions& runner);

// Says what went wrong and which exit code that is.
ExitCode report_error(const Error& error);

}  // namespace farcall::run
