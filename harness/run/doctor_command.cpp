#include <fmt/format.h>

#include <CLI/App.hpp>
#include <boost/process/search_path.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "run/commands.hpp"
#include "run/options.hpp"
#include "run/runner.hpp"
#include "vm/machine.hpp"

namespace farcall::run {
namespace {

struct Tool {
  std::string_view program;
  std::string_view purpose;
  std::string_view package;  // Debian's
};

constexpr Tool kTools[] = {
    {"qemu-system-ppc64", "runs the guests", "qemu-system-ppc"},
    {"clang", "compiles C programs of cases to BPF", "clang"},
    {"powerpc64-linux-gnu-g++", "builds the guest images", "g++-powerpc64-linux-gnu"},
    {"powerpc64-linux-gnu-objdump", "checks our disassembler in tests",
     "binutils-powerpc64-linux-gnu"},
};

// Runs an empty program's worth of machine: starts one and ends it again.
Result<void> try_machine(const RunnerOptions& runner) {
  const model::AxisValues axes;
  BOOST_OUTCOME_TRY(vm::Machine::start(
      {.endian = axes.endian,
       .cpu = axes.cpu,
       .mmu = axes.mmu,
       .image = (runner.images / vm::image_name(axes.endian, axes.mmu)).string()}));
  return success();
}

ExitCode doctor(const RunnerOptions& runner) {
  std::vector<std::string_view> packages;
  for (const Tool& tool : kTools) {
    const std::string found = boost::process::search_path(std::string(tool.program)).string();
    fmt::print("{:<8} {:<28} {}\n", found.empty() ? "MISSING" : "ok", tool.program,
               found.empty() ? tool.purpose : found);
    if (found.empty()) {
      packages.push_back(tool.package);
    }
  }
  const auto machine = try_machine(runner);
  fmt::print("{:<8} {:<28} {}\n", machine ? "ok" : "MISSING", "a machine",
             machine ? "starts" : to_string(machine.error()));
  if (!packages.empty()) {
    fmt::print("\nmend it: apt-get install {}\n", fmt::join(packages, " "));
  }
  return packages.empty() && machine ? ExitCode::passed : ExitCode::harness_failed;
}

}  // namespace

Command doctor_command(CLI::App& app, const Invocation& invocation) {
  CLI::App* const doctor_app =
      app.add_subcommand("doctor", "Say what this machine has and lacks for farcall");
  return {doctor_app, [invocation] { return doctor(default_runner(invocation)); }};
}

}  // namespace farcall::run
