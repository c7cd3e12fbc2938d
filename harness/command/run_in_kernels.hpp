// `run --guest linux`: cells in stock kernels.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "command/reporting.hpp"
#include "run/runner.hpp"
#include "selection/select.hpp"
#include "stock/kernel.hpp"
#include "wire/kernel_batch.hpp"

namespace farcall::command {

// Runs the cells of `documents` in each of these kernels and modes, and the code that it makes in the
// bare guest; reports each. `replay` is the command that runs a case's cell again, of which the
// kernel's comes.
ExitCode run_in_kernels(
    const std::vector<model::Document>& documents, const std::vector<selection::BadFile>& bad,
    const std::vector<stock::StockKernel>& kernels, const std::vector<wire::KernelMode>& modes,
    const run::RunnerOptions& runner, report::Shard shard, Reporting& reporting,
    const std::function<std::string(const std::string& path, const std::string& cell)>& replay,
    const std::function<std::string(const selection::BadFile&)>& replay_bad);

}  // namespace farcall::command
