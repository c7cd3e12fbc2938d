// A stock kernel that the user names, and what is asked of it.
#pragma once

#include <array>
#include <filesystem>
#include <functional>
#include <span>
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

// What one kernel is asked twice: with its JIT on, and off.
inline constexpr std::array kBothModes = {wire::KernelMode::jit, wire::KernelMode::interpreter};

inline constexpr const char* kDefaultKernel = "6.1";

struct StockKernel {
  std::filesystem::path vmlinux;
  std::filesystem::path modules;  // the folder of its package; empty: it is a file of the user's
  kernel::KernelFile file;
  run::AskedKernel asked;
  bool fresh_boot = false;  // as GuestSpec has it
};

// A version that was fetched, or the file of a kernel. kernel.unknown, kernel.not-fetched,
// document.invalid.
Result<StockKernel> stock_kernel(const std::string& text, bool fresh_boot = false);

// What ppc64 does in all these kernels, in every cell: line.mismatch. It does not count;
// farcall kernel defects looks at it.
bool is_of_every_kernel(const model::Finding& finding);

// The verdict if these codes do not count: what was found of them is beside the rest.
model::Verdict without(std::span<const ErrorCode> allowed, model::Verdict verdict);

// Who makes a kernel's code, in reports: `linux:6.1.176-1`.
std::string jit_name(const StockKernel& kernel);

// What `-- known` calls who made or interpreted a cell's code: `linux:6.1.176-1/jit`.
std::string identity(const StockKernel& kernel, wire::KernelMode mode);

// A cell in one mode.
struct ModeCell {
  const run::LinuxCell* cell = nullptr;
  wire::KernelMode mode{};
};

// With the JIT on and off; they refer to `linux_cells`.
std::vector<ModeCell> in_all_modes(std::span<const run::LinuxCell> linux_cells);

// Runs them in the kernel, and the code that it makes in the bare guest; `tell` is called for each
// in order, unless `stopped`. What is_of_every_kernel(), and what the runner
// allows, does not count.
void run_in_kernel(
    const std::vector<ModeCell>& cells, const StockKernel& kernel, const run::RunnerOptions& runner,
    const std::function<bool()>& stopped,
    const std::function<void(std::size_t index, const report::CellReport& report)>& tell);

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
