#include <fmt/format.h>

#include <CLI/App.hpp>
#include <chrono>
#include <memory>
#include <string>

#include "case/case_file.hpp"
#include "case/matrix.hpp"
#include "run/commands.hpp"
#include "run/options.hpp"
#include "run/resource_use.hpp"
#include "run/runner.hpp"

namespace farcall::run {
namespace {

// A case of two functions that no other number makes: its constants and both of its places differ.
// Numbers run over all of vmalloc: callers in its lower half, callees in its upper.
std::string fresh_case(std::size_t number) {
  constexpr std::uint64_t kHalfOfVmalloc = std::uint64_t{1} << 48;
  const std::uint64_t spread = (number * 0x9e37'79b9'7f4a'7c15) >> 16;
  const std::uint64_t caller = (spread % (kHalfOfVmalloc >> 16)) << 16;
  const std::uint64_t callee = kHalfOfVmalloc + (((spread * 7) % (kHalfOfVmalloc >> 16)) << 16);
  return fmt::format(
      "-- asm\n"
      "mov %r6, {0}\n"
      "mov %r1, {1}\n"
      "call local callee\n"
      "add %r0, %r6\n"
      "exit\n"
      "callee:\n"
      "mov %r0, %r1\n"
      "mul %r0, 3\n"
      "lsh %r0, 2\n"
      "xor %r0, {2}\n"
      "add32 %r0, 1\n"
      "exit\n"
      "-- place\n"
      "main = vmalloc+{3:#x}\n"
      "callee = vmalloc+{4:#x}\n"
      "-- result\n"
      "{5:#x}\n",
      number, number * 5 % 100'003, number & 0xffff, caller + (number % 512) * 4,
      callee + (number % 256) * 4,
      static_cast<std::uint32_t>(((number * 5 % 100'003 * 3) << 2 ^ (number & 0xffff)) + 1) +
          number);
}

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

model::Document fresh_document(std::size_t number) {
  const cases::Case parsed = cases::parse_case(fresh_case(number), "bench.case").value();
  return {.cell = std::move(cases::cells(parsed).value().front())};
}

std::string megabytes(std::int64_t bytes) {
  return fmt::format("{:.1f} MB", static_cast<double>(bytes) / 1e6);
}

// Takes `programs` generated programs, all with other bytes and other placements, from their text
// through every stage to a verdict, and prints how long that took and what it needed.
ExitCode bench(std::size_t programs, const RunnerOptions& runner) {
  const Documents documents(
      programs, [](std::size_t) { return model::AxisValues{}; },
      [](std::size_t number) {
        return std::make_shared<const model::Document>(fresh_document(number));
      });
  const std::size_t samples_apart =
      std::max<std::size_t>(1, std::min<std::size_t>(programs / 50, 1000));
  std::size_t passed = 0;
  std::size_t done = 0;
  ResidentWatch resident;
  const auto begin = std::chrono::steady_clock::now();
  run_all(documents, runner, [&](const Outcome& outcome) {
    passed += outcome.verdict.outcome == model::Outcome::pass ? 1U : 0U;
    if (++done % samples_apart == 0) {
      resident.sample(static_cast<double>(done) / static_cast<double>(programs));
    }
  });
  const double wall = seconds_since(begin);
  const CpuTime cpu = cpu_time_now();
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
  return passed == programs ? ExitCode::passed : ExitCode::failed;
}

}  // namespace

Command bench_command(CLI::App& app, const Invocation& invocation) {
  struct Arguments {
    std::size_t programs = 10'000;
    RunnerOptions runner;
  };
  const auto arguments = std::make_shared<Arguments>();
  arguments->runner = default_runner(invocation);
  CLI::App* const bench_app =
      app.add_subcommand("bench", "Measure how many fresh programs a second run");
  bench_app->add_option("--programs", arguments->programs, "How many programs")
      ->check(CLI::Range(std::size_t{1}, std::size_t{1'000'000}));
  add_jobs(*bench_app, arguments->runner);
  return {bench_app, [arguments] { return bench(arguments->programs, arguments->runner); }};
}

}  // namespace farcall::run
