#include <fmt/format.h>

#include <CLI/App.hpp>
#include <algorithm>
#include <chrono>
#include <iterator>
#include <map>
#include <memory>
#include <optional>

#include "command/bless.hpp"
#include "command/commands.hpp"
#include "command/interruption.hpp"
#include "command/options.hpp"
#include "command/reporting.hpp"
#include "command/run_in_kernels.hpp"
#include "command/shell_word.hpp"
#include "kernel/exchange.hpp"
#include "run/runner.hpp"
#include "selection/select.hpp"
#include "stock/kernel.hpp"
#include "stock/run_in_kernel.hpp"

namespace farcall::command {
namespace {

struct RunArguments {
  selection::Selection selection;
  std::vector<std::string> from;  // stage documents instead of a selection
  std::string program;
  ReportOptions reports;
  std::vector<std::string> jits = {"farcall"};
  std::size_t repeat = 1;  // every cell so many times
  bool bless = false;
  std::uint64_t seed = 0;  // the first of `seeds`
  std::size_t seeds = 1;   // all cells with each
  std::optional<std::uint64_t> budget;
  bool in_linux = false;
  // Of the guest linux.
  std::vector<std::string> kernels = {stock::kDefaultKernel};
  std::vector<wire::KernelMode> modes = {stock::kAllModes.begin(), stock::kAllModes.end()};
  bool fresh_boot = false;
  run::RunnerOptions runner;
};

// Of one run, repetitions counted.
constexpr std::size_t kMostCells = 1'000'000;

Result<selection::Selected> load(const RunArguments& arguments) {
  if (arguments.from.empty()) {
    return selection::select_cells(arguments.selection);
  }
  selection::Selected selected;
  for (const std::string& path : arguments.from) {
    auto document = selection::read_document_file(path);
    if (document) {
      selected.documents.push_back(std::move(document).value());
    } else {
      selected.bad.push_back({.path = path, .error = std::move(document).error()});
    }
  }
  return selected;
}

std::string budget_option(const RunArguments& arguments) {
  return arguments.budget ? fmt::format(" --budget {}", *arguments.budget) : "";
}

// In stock kernels, of which each has a JIT of its own.
ExitCode run_in_linux(const RunArguments& arguments, const selection::Selected& selected,
                      Reporting& reporting) {
  std::vector<stock::StockKernel> kernels;
  for (const std::string& name : arguments.kernels) {
    auto kernel = stock::stock_kernel(name, arguments.fresh_boot);
    if (!kernel) {
      return report_error(kernel.error());
    }
    kernels.push_back(std::move(kernel).value());
  }
  stock::tell_apart(kernels);
  const std::string program = shell_word(arguments.program);
  const std::string budget = budget_option(arguments);
  const auto replay = [&](const std::string& path, const std::string& cell) {
    return fmt::format("{} run {} --filter {}{} --guest linux{}", program, shell_word(path),
                       shell_word(cell), budget, arguments.fresh_boot ? " --fresh-boot" : "");
  };
  const auto replay_bad = [&](const selection::BadFile& file) {
    return fmt::format("{} run {} --guest linux", program, shell_word(file.path));
  };
  return run_in_kernels(selected.documents, selected.bad, kernels, arguments.modes,
                        arguments.runner, arguments.selection.shard, reporting, replay, replay_bad);
}

ExitCode run(const RunArguments& arguments) {
  const auto begin = std::chrono::steady_clock::now();
  auto loaded = load(arguments);
  if (!loaded) {
    return report_error(loaded.error());
  }
  auto& [selected, bad, not_large] = loaded.value();
  if (not_large != 0) {
    fmt::print(
        stderr,
        "note: one program was made 32 MiB long, {} more were not: name a case alone to have "
        "its program made so long\n",
        not_large);
  }
  for (model::Document& document : selected) {
    document.cell.budget = arguments.budget.value_or(document.cell.budget);
  }
  if (arguments.in_linux) {
    auto reporting = Reporting::open(arguments.reports, begin);
    return reporting ? run_in_linux(arguments, loaded.value(), reporting.value())
                     : report_error(reporting.error());
  }
  const std::size_t once = selected.size();
  const std::size_t times = arguments.repeat * arguments.seeds;
  if (once * times > kMostCells) {
    return report_error(
        {.code = ErrorCode::usage_bad_argument,
         .message = fmt::format("--repeat {} --seeds {}: {} cells; expected at most {}",
                                arguments.repeat, arguments.seeds, once * times, kMostCells)});
  }
  const auto named = [&] {
    const EarlyInterruption early;
    return engine::jits_named(arguments.jits, arguments.runner.images, until_signal());
  }();
  if (!named) {
    return report_error(named.error());
  }
  const std::vector<engine::Jit>& jits = named.value();
  auto reporting = Reporting::open(arguments.reports, begin);
  if (!reporting) {
    return report_error(reporting.error());
  }
  std::vector<std::string> good_from;  // in the order of the documents
  std::ranges::copy_if(arguments.from, std::back_inserter(good_from), [&](const auto& path) {
    return std::ranges::find(bad, path, &selection::BadFile::path) == bad.end();
  });
  const std::string program = shell_word(arguments.program);
  const auto replay = [&](const run::FinishedCell& finished) {
    const model::Cell& cell = finished.document->cell;
    const std::string seed = (finished.seed == 0 ? "" : fmt::format(" --seed {}", finished.seed)) +
                             budget_option(arguments);
    return good_from.empty()
               ? fmt::format("{} run {} --filter {}{}{}{}", program, shell_word(cell.case_path),
                             shell_word(cell.name),
                             arguments.selection.edges ? " --placements edges" : "",
                             finished.jit.empty() || finished.jit == engine::farcall_jit().name
                                 ? ""
                                 : " --jit " + shell_word(finished.jit),
                             seed)
               : fmt::format("{} run --from {}{}", program,
                             shell_word(good_from[finished.index % once]), seed);
  };
  const auto replay_bad = [&](const selection::BadFile& file) {
    return fmt::format("{} run {}{}", program, arguments.from.empty() ? "" : "--from ",
                       shell_word(file.path));
  };
  const run::Documents documents(std::move(selected), times,
                                 [once, first = arguments.seed, seeds = arguments.seeds](
                                     std::size_t index) { return first + index / once % seeds; });
  return reporting.value().run(documents, arguments.runner, jits, arguments.selection.shard, bad,
                               replay, replay_bad);
}

}  // namespace

Command run_command(CLI::App& app, const Invocation& invocation) {
  const auto arguments = std::make_shared<RunArguments>();
  arguments->program = invocation.program;
  arguments->runner = default_runner(invocation);
  CLI::App* const run_app =
      app.add_subcommand("run", "Run cells and say whether all witnesses agree");
  auto* const paths =
      run_app->add_option("PATH", arguments->selection.paths,
                          "Case files, folders to search for them, FILE@CELL, or - for a case on "
                          "standard input");
  auto* const from =
      run_app
          ->add_option("--from", arguments->from,
                       "Run from stage documents that `farcall dump --json` or another JIT wrote")
          ->type_name("FILE...")
          ->excludes(paths);
  run_app
      ->add_option("--rerun-failed", arguments->selection.failed_in,
                   "Only cells that did not pass in this report of --format json")
      ->type_name("FILE")
      ->excludes(from);
  run_app->add_flag("--fail-fast", arguments->runner.stop_at_failure,
                    "Stop at the first cell that does not pass");
  run_app->add_option("--repeat", arguments->repeat, "Run every cell so many times")
      ->check(CLI::Range(std::size_t{1}, std::size_t{100'000}));
  one_each(run_app->add_option(
               "--jit", arguments->jits,
               "Who makes the code: farcall (the default), exec:COMMAND, or kernel:DIR, the "
               "JIT of a Linux source tree; several, to compare them"))
      ->type_name("JIT")
      ->excludes(from);
  run_app
      ->add_option_function<std::string>(
          "--placements",
          [arguments](const std::string& which) { arguments->selection.edges = which == "edges"; },
          "own: where the cases say (the default); edges: where JITs go wrong instead")
      ->type_name("WHICH")
      ->check(one_of({"own", "edges"}))
      ->excludes(from);
  auto* const guest =
      run_app
          ->add_option_function<std::string>(
              "--guest",
              [arguments](const std::string& which) { arguments->in_linux = which == "linux"; },
              "bare: our own (the default); linux: a stock kernel with its own JIT and "
              "interpreter, and its code in our own")
          ->type_name("GUEST")
          ->check(one_of({"bare", "linux"}))
          ->excludes(from);
  one_each(run_app->add_option(
               "--kernel", arguments->kernels,
               "With --guest linux: a kernel that was fetched, 6.1 by default, or the file of "
               "one, vmlinux; several, to run in each"))
      ->type_name("VERSION")
      ->needs(guest);
  static const std::map<std::string, wire::KernelMode> kModes = [] {
    std::map<std::string, wire::KernelMode> modes;
    for (const wire::KernelMode mode : stock::kAllModes) {
      modes.emplace(kernel::name(mode), mode);
    }
    return modes;
  }();
  one_each(run_app->add_option_function<std::vector<std::string>>(
               "--mode",
               [arguments](const std::vector<std::string>& words) {
                 arguments->modes.clear();
                 for (const std::string& word : words) {
                   arguments->modes.push_back(kModes.at(word));
                 }
               },
               "With --guest linux: only with the JIT on (jit), off (interpreter), or blinding "
               "constants (hardened); may be given several times"))
      ->type_name("MODE")
      ->check(one_of(kModes))
      ->needs(guest);
  add_fresh_boot(*run_app, arguments->fresh_boot)->needs(guest);
  run_app->add_option("--seed", arguments->seed,
                      "What registers and memory hold that nobody has written is made of this "
                      "number and the cell's name; 0 by default");
  run_app
      ->add_option("--seeds", arguments->seeds, "Run every cell with so many seeds, from --seed on")
      ->check(CLI::Range(std::size_t{1}, std::size_t{100'000}));
  add_allow(*run_app, arguments->runner);
  run_app
      ->add_option("--budget", arguments->budget,
                   fmt::format("How many instructions a program may take in the interpreter, {} by "
                               "default; the guest's budget grows with it",
                               bpf::kDefaultBudget))
      ->check(CLI::Range(std::uint64_t{1}, model::kMostBudget));
  add_reports(*run_app, arguments->reports);
  add_selection(*run_app, arguments->selection);
  run_app->get_option("--filter")->excludes(from);
  run_app->get_option("--where")->excludes(from);
  run_app->get_option("--shard")->excludes(from);
  // What is blessed is a file as it is: all cells of its sections, run once.
  auto* const bless_option = run_app->add_flag(
      "--bless", arguments->bless,
      "Make the case files expect what interpreter and CPU agree on, and show how they change");
  for (const char* const other :
       {"--from", "--filter", "--where", "--shard", "--rerun-failed", "--repeat", "--fail-fast",
        "--format", "--output", "--bundle", "--guest"}) {
    bless_option->excludes(run_app->get_option(other));
  }
  for (const char* const other : {"--jit", "--placements", "--seed", "--seeds", "--repeat"}) {
    guest->excludes(run_app->get_option(other));
  }
  add_jobs(*run_app, arguments->runner);
  run_app->parse_complete_callback([arguments, run_app] {
    check_pairs(*run_app);
    if (arguments->selection.paths.empty() && arguments->from.empty()) {
      throw CLI::RequiredError("PATH or --from");
    }
    for (const char* const of_linux : {"--kernel", "--mode", "--fresh-boot"}) {
      if (!arguments->in_linux && run_app->count(of_linux) != 0) {
        throw CLI::RequiresError(of_linux, "--guest linux");
      }
    }
  });
  return {run_app, with_host(*run_app, arguments->runner.host, [arguments] {
            return arguments->bless ? bless(arguments->selection.paths, arguments->runner)
                                    : run(*arguments);
          })};
}

}  // namespace farcall::command
