// `farcall run --bless`: case files are made to say what interpreter and CPU agree on.
#pragma once

#include <string>
#include <vector>

#include "command/command_line.hpp"
#include "run/runner.hpp"

namespace farcall::command {

// Runs all cells of the case files that `paths` name. Shows how results and counts of calls have to
// change for a file's cells to pass, and changes the file, if every cell then passes: code that
// goes elsewhere cannot be blessed. ExitCode::failed if a file could not be.
ExitCode bless(const std::vector<std::string>& paths, const run::RunnerOptions& runner);

}  // namespace farcall::command
