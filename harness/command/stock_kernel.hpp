// A stock kernel that the user names, and what is asked of it.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "command/reporting.hpp"
#include "kernel/guest.hpp"
#include "kernel/kernel_file.hpp"
#include "run/capture.hpp"
#include "run/runner.hpp"
#include "run/select.hpp"

namespace farcall::command {

inline constexpr const char* kDefaultKernel = "6.1";

struct StockKernel {
  std::filesystem::path vmlinux;
  std::filesystem::path modules;  // the folder of its package; empty: it is a file of the user's
  kernel::KernelFile file;
  run::AskedKernel asked;
};

// A version that was fetched, or the file of a kernel. kernel.unknown, kernel.not-fetched,
// document.invalid.
Result<StockKernel> stock_kernel(const std::string& text);

// Runs the cells of `documents` in each of these kernels, with the JIT on and off, and the code
// that it makes in the bare guest; reports each. `replay` is the command that runs a case's cell
// again, of which the kernel's comes.
ExitCode run_in_kernels(
    const std::vector<model::Document>& documents, const std::vector<run::BadFile>& bad,
    const std::vector<StockKernel>& kernels, const run::RunnerOptions& runner, report::Shard shard,
    Reporting& reporting,
    const std::function<std::string(const std::string& path, const std::string& cell)>& replay,
    const std::function<std::string(const run::BadFile&)>& replay_bad);

}  // namespace farcall::command
