#include "command/run_in_kernels.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "command/commands.hpp"
#include "command/interruption.hpp"
#include "command/shell_word.hpp"
#include "kernel/exchange.hpp"
#include "stock/run_in_kernel.hpp"

namespace farcall::command {

ExitCode run_in_kernels(
    const std::vector<model::Document>& documents, const std::vector<selection::BadFile>& bad,
    const std::vector<stock::StockKernel>& kernels, const std::vector<wire::KernelMode>& modes,
    const run::RunnerOptions& runner, report::Shard shard, Reporting& reporting,
    const std::function<std::string(const std::string& path, const std::string& cell)>& replay,
    const std::function<std::string(const selection::BadFile&)>& replay_bad) {
  const Interruption interruption;
  const auto is_wanted = [&](wire::KernelMode mode) {
    return std::ranges::find(modes, mode) != modes.end();
  };
  // Hardened code is held against what the JIT makes otherwise.
  std::vector<wire::KernelMode> asked;
  std::ranges::copy_if(stock::kAllModes, std::back_inserter(asked), [&](wire::KernelMode mode) {
    return is_wanted(mode) ||
           (mode == wire::KernelMode::jit && is_wanted(wire::KernelMode::hardened));
  });
  std::vector<std::vector<stock::LinuxCell>> all_cells;  // of each kernel
  std::vector<std::vector<stock::ModeCell>> all_in_modes;
  std::size_t count = bad.size();
  for (const stock::StockKernel& kernel : kernels) {
    all_cells.push_back(stock::linux_cells(documents, kernel.asked.facts));
    all_in_modes.push_back(stock::in_modes(all_cells.back(), asked));
    count += static_cast<std::size_t>(
        std::ranges::count_if(all_in_modes.back(), is_wanted, &stock::ModeCell::mode));
  }
  reporting.begin(count, shard);
  for (const selection::BadFile& file : bad) {
    const model::Cell in_place_of_its_cells{.case_path = file.path,
                                            .name = selection::case_name(file.path)};
    reporting.cell(
        {.cell = in_place_of_its_cells, .verdict = verdict_of(file), .replay = replay_bad(file)});
  }
  bool failed = false;
  const auto is_over = [&] {
    return Interruption::signal() != 0 || (failed && runner.stop_at_failure);
  };
  for (std::size_t i = 0; i < kernels.size(); ++i) {
    const stock::StockKernel& kernel = kernels[i];
    const std::vector<stock::ModeCell>& cells = all_in_modes[i];
    const auto tell = [&](std::size_t index, report::CellReport report) {
      if (!is_wanted(cells[index].mode)) {
        return;
      }
      const model::Outcome outcome = report.verdict.outcome;
      failed = failed || (outcome != model::Outcome::pass && outcome != model::Outcome::skip);
      report.jit = stock::jit_name(kernel);
      report.replay = fmt::format("{} --mode {} --kernel {}",
                                  replay(report.cell.case_path, cells[index].cell->origin),
                                  kernel::name(cells[index].mode), shell_word(kernel.argument));
      reporting.cell(report);
    };
    stock::run_in_kernel(cells, kernel, runner, {.stopped = is_over, .tell = tell, .note = note});
    if (is_over()) {
      break;
    }
  }
  return reporting.end();
}

}  // namespace farcall::command
