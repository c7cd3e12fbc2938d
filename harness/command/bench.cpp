#include <fmt/format.h>

#include <CLI/App.hpp>
#include <array>
#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "command/commands.hpp"
#include "command/fresh_program.hpp"
#include "command/interruption.hpp"
#include "command/options.hpp"
#include "command/rate_picture.hpp"
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

// What is run.
struct Load {
  std::size_t programs;
  std::size_t instructions;  // in each
};

struct Figures {
  std::size_t programs = 0;
  std::size_t done = 0;
  std::size_t passed = 0;
  std::size_t machines = 0;
  double wall = 0;  // in seconds
  CpuTime cpu;
  ResidentWatch resident;
  std::string trouble;  // the first
  bool harness_failed = false;

  double rate() const { return static_cast<double>(programs) / wall; }
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
      {"programs_per_second", figures.rate()},
      {"cpu_seconds", {{"farcall", figures.cpu.own}, {"machines", figures.cpu.machines}}},
      {"resident_bytes_at_most", memory(figures.resident.peak())},
      {"resident_bytes_grown_over_last_80_percent", memory(figures.resident.growth())}};
  fmt::print("{}\n", model::json_text(json, 2));
}

void print_text(const Figures& figures) {
  const auto each = [&figures](double seconds) {
    return fmt::format("{:.1f} µs", seconds * 1e6 / static_cast<double>(figures.programs));
  };
  const auto [peak, growth] = std::pair(figures.resident.peak(), figures.resident.growth());
  fmt::print(
      "{} fresh programs of two functions: {} passed, {:.2f} s, {:.0f} a second\n"
      "CPU time each: farcall {}, QEMU {} (translating fresh code, trace interrupts), boots "
      "included\n"
      "resident at most: farcall {}, a QEMU {}; growth over the last 80 %: {}, {}\n",
      figures.programs, figures.passed, figures.wall, figures.rate(), each(figures.cpu.own),
      each(figures.cpu.machines), megabytes(peak.own), megabytes(peak.machine),
      megabytes(growth.own), megabytes(growth.machine));
}

ExitCode interrupted(const Figures& figures) {
  fmt::print("ended by {} after {} of {} programs: {} passed, {:.2f} s\n", Interruption::name(),
             figures.done, figures.programs, figures.passed, figures.wall);
  return static_cast<ExitCode>(128 + Interruption::signal());
}

ExitCode ending(const Figures& figures) {
  if (figures.passed == figures.programs) {
    return ExitCode::passed;
  }
  note("error: " + figures.trouble);
  return figures.harness_failed ? ExitCode::harness_failed : ExitCode::failed;
}

// Takes generated programs, all with other bytes and other placements, from their text through every
// stage to a verdict.
Figures measure(const Load& load, run::RunnerOptions runner) {
  const run::Documents documents(
      load.programs, [](std::size_t) { return model::AxisValues{}; },
      [&load](std::size_t number) {
        return std::make_shared<const model::Document>(fresh_document(number, load.instructions));
      });
  const std::size_t samples_apart =
      std::max<std::size_t>(1, std::min<std::size_t>(load.programs / 50, 1000));
  Figures figures{.programs = load.programs, .machines = runner.machines};
  const CpuTime cpu_before = cpu_time_now();
  const auto begin = std::chrono::steady_clock::now();
  runner.stopped = [] { return Interruption::signal() != 0; };
  run::run_all(documents, runner, [&](const run::FinishedCell& finished) {
    if (finished.verdict.outcome == model::Outcome::pass) {
      ++figures.passed;
    } else if (figures.trouble.empty() && !finished.verdict.findings.empty()) {
      const model::Finding& finding = finished.verdict.findings.front();
      figures.trouble = fmt::format("{}: {} [{}]", finished.document->cell.name, finding.text,
                                    name(finding.code));
    }
    figures.harness_failed = figures.harness_failed || is_harness_failure(finished.verdict);
    if (++figures.done % samples_apart == 0) {
      figures.resident.sample(static_cast<double>(figures.done) /
                              static_cast<double>(load.programs));
    }
  });
  figures.wall = seconds_since(begin);
  const CpuTime cpu = cpu_time_now();
  figures.cpu = {cpu.own - cpu_before.own, cpu.machines - cpu_before.machines};
  return figures;
}

ExitCode bench(std::size_t programs, bool as_json, const run::RunnerOptions& runner) {
  const Interruption interruption;
  const Figures figures = measure({programs, kFreshInstructions}, runner);
  if (figures.done < programs && Interruption::signal() != 0) {
    return interrupted(figures);
  }
  as_json ? print_json(figures) : print_text(figures);
  return ending(figures);
}

// What `--picture` varies, from `first` on by factors to `last`.
struct Sweep {
  const char* title;
  std::size_t first;
  std::size_t last;
  std::size_t factor;
  std::function<void(std::size_t, Load&, run::RunnerOptions&)> set;
};

// `last` is one of them, and there is nothing beyond it.
std::vector<std::size_t> steps(const Sweep& sweep) {
  std::vector<std::size_t> values;
  for (std::size_t value = sweep.first; value < sweep.last; value *= sweep.factor) {
    values.push_back(value);
  }
  values.push_back(sweep.last);
  return values;
}

// Measures again and again, and writes the rates as a picture, or as a page with it.
ExitCode draw(std::size_t programs, const run::RunnerOptions& given, const std::string& path) {
  const std::array sweeps = {
      Sweep{"machines at the same time (--jobs)", 1, given.machines, 2,
            [](std::size_t value, Load&, run::RunnerOptions& runner) {
              runner.machines = static_cast<unsigned>(value);
            }},
      Sweep{"instructions in a program", kFreshInstructions, 64 * kFreshInstructions, 4,
            [](std::size_t value, Load& load, run::RunnerOptions&) { load.instructions = value; }},
      Sweep{"programs, boots included", 100, programs, 10,
            [](std::size_t value, Load& load, run::RunnerOptions&) { load.programs = value; }}};
  const Interruption interruption;
  std::vector<RateCurve> curves;
  for (const Sweep& sweep : sweeps) {
    RateCurve& curve = curves.emplace_back(RateCurve{.title = sweep.title, .points = {}});
    for (const std::size_t value : steps(sweep)) {
      Load load{programs, kFreshInstructions};
      run::RunnerOptions runner = given;
      sweep.set(value, load, runner);
      const Figures figures = measure(load, runner);
      if (Interruption::signal() != 0) {
        return interrupted(figures);
      }
      if (figures.passed != figures.programs) {
        return ending(figures);
      }
      fmt::print("{}: {}: {:.0f} a second\n", sweep.title, value, figures.rate());
      std::fflush(stdout);
      curve.points.push_back({value, figures.rate()});
    }
  }
  const std::string subtitle = fmt::format(
      "farcall {}; if nothing else is said: {} programs of {} instructions, {} at a "
      "time; boots included",
      FARCALL_VERSION, programs, kFreshInstructions,
      given.machines == 1 ? "one" : std::to_string(given.machines));
  return write_or_report(
      path, path.ends_with(".html") ? rate_page(curves, subtitle) : rate_svg(curves, subtitle));
}

}  // namespace

Command bench_command(CLI::App& app, const Invocation& invocation) {
  struct Arguments {
    std::size_t programs = 10'000;
    bool json = false;
    std::string picture;
    run::RunnerOptions runner;
  };
  const auto arguments = std::make_shared<Arguments>();
  arguments->runner = default_runner(invocation);
  CLI::App* const bench_app =
      app.add_subcommand("bench", "Measure how many fresh programs a second run");
  bench_app->add_option("--programs", arguments->programs, "How many programs")
      ->check(CLI::Range(std::size_t{1}, std::size_t{1'000'000}));
  CLI::Option* const json =
      bench_app->add_flag("--json", arguments->json, "Print the figures as JSON");
  bench_app
      ->add_option(
          "--picture", arguments->picture,
          "Measure with other numbers of machines, instructions and programs, too, and draw "
          "the rates: a picture (.svg), or a page that holds it (.html)")
      ->type_name("FILE")
      ->excludes(json);
  add_jobs(*bench_app, arguments->runner);
  return {bench_app, with_host(*bench_app, arguments->runner.host, [arguments] {
            return arguments->picture.empty()
                       ? bench(arguments->programs, arguments->json, arguments->runner)
                       : draw(arguments->programs, arguments->runner, arguments->picture);
          })};
}

}  // namespace farcall::command
