#include <fmt/format.h>

#include <CLI/App.hpp>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "command/commands.hpp"
#include "command/fresh_program.hpp"
#include "command/interruption.hpp"
#include "command/options.hpp"
#include "command/resource_use.hpp"
#include "model/json.hpp"
#include "run/runner.hpp"

namespace farcall::command {
namespace {

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

std::string megabytes(std::int64_t bytes) {
  return fmt::format("{:.1f} MB", static_cast<double>(bytes) / 1e6);
}

struct Figures {
  std::size_t programs;
  std::size_t passed;
  std::size_t machines;
  double wall;  // in seconds
  CpuTime cpu;
  const ResidentWatch& resident;
};

// Seconds, and bytes.
void print_json(const Figures& figures) {
  const auto memory = [](const auto& use) {
    return model::Json{{"farcall", use.own}, {"machine", use.machine}};
  };
  const model::Json json = {
      {"programs", figures.programs},
      {"passed", figures.passed},
      {"jobs", figures.machines},
      {"seconds", figures.wall},
      {"programs_per_second", static_cast<double>(figures.programs) / figures.wall},
      {"cpu_seconds", {{"farcall", figures.cpu.own}, {"machines", figures.cpu.machines}}},
      {"resident_bytes_at_most", memory(figures.resident.peak())},
      {"resident_bytes_grown_over_last_80_percent", memory(figures.resident.growth())}};
  fmt::print("{}\n", json.dump(2));
}

ExitCode ending(std::size_t programs, std::size_t passed, const std::string& trouble,
                bool harness_failed) {
  if (passed == programs) {
    return ExitCode::passed;
  }
  note("error: " + trouble);
  return harness_failed ? ExitCode::harness_failed : ExitCode::failed;
}

// Takes `programs` generated programs, all with other bytes and other placements, from their text
// through every stage to a verdict, and prints how long that took and what it needed.
ExitCode bench(std::size_t programs, bool as_json, run::RunnerOptions runner) {
  const run::Documents documents(
      programs, [](std::size_t) { return model::AxisValues{}; },
      [](std::size_t number) {
        return std::make_shared<const model::Document>(fresh_document(number));
      });
  const std::size_t samples_apart =
      std::max<std::size_t>(1, std::min<std::size_t>(programs / 50, 1000));
  std::size_t passed = 0;
  std::size_t done = 0;
  std::string trouble;  // the first
  bool harness_failed = false;
  ResidentWatch resident;
  const auto begin = std::chrono::steady_clock::now();
  const Interruption interruption;
  runner.stopped = [] { return Interruption::signal() != 0; };
  run::run_all(documents, runner, [&](const run::FinishedCell& finished) {
    if (finished.verdict.outcome == model::Outcome::pass) {
      ++passed;
    } else if (trouble.empty() && !finished.verdict.findings.empty()) {
      const model::Finding& finding = finished.verdict.findings.front();
      trouble = fmt::format("{}: {} [{}]", finished.document->cell.name, finding.text,
                            name(finding.code));
    }
    harness_failed = harness_failed || is_harness_failure(finished.verdict);
    if (++done % samples_apart == 0) {
      resident.sample(static_cast<double>(done) / static_cast<double>(programs));
    }
  });
  const double wall = seconds_since(begin);
  if (done < programs && Interruption::signal() != 0) {
    fmt::print("ended by {} after {} of {} programs: {} passed, {:.2f} s\n", Interruption::name(),
               done, programs, passed, wall);
    return static_cast<ExitCode>(128 + Interruption::signal());
  }
  const CpuTime cpu = cpu_time_now();
  if (as_json) {
    print_json({.programs = programs,
                .passed = passed,
                .machines = runner.machines,
                .wall = wall,
                .cpu = cpu,
                .resident = resident});
    return ending(programs, passed, trouble, harness_failed);
  }
  const auto each = [programs](double seconds) {
    return fmt::format("{:.1f} µs", seconds * 1e6 / static_cast<double>(programs));
  };
  fmt::print(
      "{} fresh programs of two functions: {} passed, {:.2f} s, {:.0f} a second\n"
      "CPU time each: farcall {}, QEMU {} (translating fresh code, trace interrupts), boots "
      "included\n"
      "resident at most: farcall {}, a QEMU {}; growth over the last 80 %: {}, {}\n",
      programs, passed, wall, static_cast<double>(programs) / wall, each(cpu.own),
      each(cpu.machines), megabytes(resident.peak().own), megabytes(resident.peak().machine),
      megabytes(resident.growth().own), megabytes(resident.growth().machine));
  return ending(programs, passed, trouble, harness_failed);
}

}  // namespace

Command bench_command(CLI::App& app, const Invocation& invocation) {
  struct Arguments {
    std::size_t programs = 10'000;
    bool json = false;
    run::RunnerOptions runner;
  };
  const auto arguments = std::make_shared<Arguments>();
  arguments->runner = default_runner(invocation);
  CLI::App* const bench_app =
      app.add_subcommand("bench", "Measure how many fresh programs a second run");
  bench_app->add_option("--programs", arguments->programs, "How many programs")
      ->check(CLI::Range(std::size_t{1}, std::size_t{1'000'000}));
  bench_app->add_flag("--json", arguments->json, "Print the figures as JSON");
  add_jobs(*bench_app, arguments->runner);
  return {bench_app, with_host(*bench_app, arguments->runner.host, [arguments] {
            return bench(arguments->programs, arguments->json, arguments->runner);
          })};
}

}  // namespace farcall::command
