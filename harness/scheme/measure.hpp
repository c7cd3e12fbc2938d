// Puts the call schemes to the test: cells of cases/ that are linked, compiled, run and dumped.
#pragma once

#include <filesystem>

#include "base/error.hpp"
#include "run/runner.hpp"
#include "scheme/study.hpp"

namespace farcall::scheme {

// `cases` is the folder of farcall's own cases. A cell that a machine keeps from being run is an
// entry that says so; fails only where the cases are not there or not what they should be, and with
// machine.lost where the runner was stopped before all were run.
Result<scheme::SchemeStudy> study_schemes(const std::filesystem::path& cases,
                                          const run::RunnerOptions& runner, show::TagHash hash);

}  // namespace farcall::scheme
