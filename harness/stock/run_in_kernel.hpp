// Runs cells in a stock kernel, and the code that it makes in the bare guest.
#pragma once

#include <array>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "model/verdict.hpp"
#include "report/report.hpp"
#include "run/runner.hpp"
#include "stock/kernel.hpp"
#include "stock/linux_cells.hpp"
#include "wire/kernel_batch.hpp"

namespace farcall::stock {

// What ppc64 does in all these kernels, in every cell: line.mismatch. It does not count;
// farcall kernel defects looks at it.
bool is_of_every_kernel(const model::Finding& finding);

// The verdict if these codes do not count: what was found of them is beside the rest.
model::Verdict without(std::span<const ErrorCode> allowed, model::Verdict verdict);

// A cell in one mode.
struct ModeCell {
  const LinuxCell* cell = nullptr;
  wire::KernelMode mode{};
};

// With the JIT on, off, and hardened.
inline constexpr std::array kAllModes = {wire::KernelMode::jit, wire::KernelMode::interpreter,
                                         wire::KernelMode::hardened};

// Each in these modes; they refer to `linux_cells`.
std::vector<ModeCell> in_modes(std::span<const LinuxCell> linux_cells,
                               std::span<const wire::KernelMode> modes);

// What is told while cells run.
struct Listener {
  std::function<bool()> stopped;  // nobody waits any more once this is true
  std::function<void(std::size_t index, const report::CellReport& report)> tell;
  void (*note)(std::string_view line) = nullptr;  // of booting, which takes a while
};

// Runs them in the kernel, and the code that it makes in the bare guest, and tells of each in order,
// up to where nobody waits any more. A hardened cell is held against the one of the JIT, which has to be
// among `cells`.
// What is_of_every_kernel(), and what the runner allows, does not count.
void run_in_kernel(const std::vector<ModeCell>& cells, const StockKernel& kernel,
                   const run::RunnerOptions& runner, const Listener& listener);

}  // namespace farcall::stock
