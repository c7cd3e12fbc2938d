#include "command/kernel_selftest.hpp"

#include <fmt/format.h>

#include <chrono>
#include <utility>

#include "command/interruption.hpp"
#include "command/shell_word.hpp"
#include "kernel/module.hpp"
#include "kernel/selftest.hpp"
#include "stock/run_in_kernel.hpp"
#include "stock/selftest.hpp"

namespace farcall::command {
namespace {

struct Prepared {
  stock::StockKernel kernel;
  std::vector<std::string> modules;
  Reporting reporting;
};

Result<Prepared> prepare(const SelftestArguments& arguments) {
  FARCALL_TRY(kernel, stock::stock_kernel(arguments.kernel));
  const std::filesystem::path folder =
      arguments.modules.empty() ? kernel.modules : std::filesystem::path(arguments.modules);
  if (folder.empty()) {
    return Error{.code = ErrorCode::usage_bad_argument,
                 .message = fmt::format("{} is a file: nobody knows where its modules are",
                                        arguments.kernel),
                 .hint = "--modules DIR, as lib/modules/VERSION of the same build"};
  }
  FARCALL_TRY(modules, kernel::modules(folder, "test_bpf"));
  FARCALL_TRY(reporting, Reporting::open(arguments.reports, std::chrono::steady_clock::now()));
  return Prepared{.kernel = std::move(kernel),
                  .modules = std::move(modules),
                  .reporting = std::move(reporting)};
}

}  // namespace

ExitCode kernel_selftest(const SelftestArguments& arguments) {
  auto prepared = prepare(arguments);
  if (!prepared) {
    return report_error(prepared.error());
  }
  auto& [kernel, modules, reporting] = prepared.value();
  const Interruption interruption;
  const auto stopped = [] { return Interruption::signal() != 0; };
  const kernel::GuestSpec spec = stock::guest_of(kernel, arguments.images, arguments.host);
  const std::vector<std::string> suites =
      arguments.suites.empty()
          ? std::vector<std::string>(kernel::kSelftestSuites.begin(), kernel::kSelftestSuites.end())
          : arguments.suites;
  std::vector<stock::SelftestCell> cells;
  std::size_t not_run = 0;  // suites, each at least one cell
  for (const wire::KernelMode mode : {wire::KernelMode::jit, wire::KernelMode::interpreter}) {
    for (const std::string& suite : suites) {
      if (stopped()) {
        ++not_run;
        continue;
      }
      note(fmt::format("{}, {} {}: {}", kernel.asked.name, "JIT",
                       mode == wire::KernelMode::jit ? "on" : "off", suite));
      const auto ran = kernel::run_suite(spec, modules, suite, mode, stopped);
      if (!ran && stopped()) {
        ++not_run;
        continue;
      }
      for (stock::SelftestCell& cell : stock::selftest_cells(suite, mode, ran)) {
        cells.push_back(std::move(cell));
      }
    }
  }
  std::string replay = "farcall kernel selftest --kernel " + shell_word(kernel.argument);
  if (!arguments.modules.empty()) {
    replay += " --modules " + shell_word(arguments.modules);
  }
  reporting.begin(cells.size() + not_run, {});
  for (const stock::SelftestCell& cell : cells) {
    const std::string suite = cell.cell.case_path.substr(cell.cell.case_path.find(':') + 1);
    reporting.cell({.cell = cell.cell,
                    .verdict = cell.verdict,
                    .replay = fmt::format("{} --suite {}", replay, suite),
                    .jit = "linux:" + kernel.asked.name});
  }
  return reporting.end();
}

}  // namespace farcall::command
