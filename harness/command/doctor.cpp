#include <fmt/format.h>

#include <CLI/App.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "case/case_file.hpp"
#include "case/matrix.hpp"
#include "command/commands.hpp"
#include "command/options.hpp"
#include "process/search_path.hpp"
#include "run/runner.hpp"
#include "vm/libvirt_host.hpp"

namespace farcall::command {
namespace {

struct Tool {
  std::string_view program;
  std::string_view purpose;
  std::string_view package;  // Debian's
  bool runs_cells = false;   // nothing works without it
};

constexpr Tool kTools[] = {
    {"qemu-system-ppc64", "runs the guests", "qemu-system-ppc", true},
    {"gdb-multiarch", "farcall debug", "gdb-multiarch"},
    {"clang", "compiles C programs of cases to BPF", "clang"},
    {"powerpc64-linux-gnu-g++", "builds the guest images", "g++-powerpc64-linux-gnu"},
    {"powerpc64-linux-gnu-objdump", "checks our disassembler in tests",
     "binutils-powerpc64-linux-gnu"},
};

constexpr std::string_view kSmallestCase =
    "-- matrix\nendian le be\n-- asm\nmov %r0, 42\nexit\n-- result\n42\n";

// Runs the smallest case there is on a guest of either byte order, which `host` starts; what is
// wrong, or nothing.
std::string try_machines(run::RunnerOptions runner, vm::Host& host) {
  runner.host = &host;
  std::vector<model::Document> documents;
  const cases::Case parsed = cases::parse_case(kSmallestCase, "doctor.case").value();
  std::vector<model::Cell> cells = cases::cells(parsed).value();
  for (model::Cell& cell : cells) {
    documents.push_back({.cell = std::move(cell)});
  }
  std::string wrong;
  run::run_all(std::move(documents), runner, [&wrong](const run::FinishedCell& finished) {
    if (wrong.empty() && !finished.verdict.findings.empty()) {
      wrong = finished.verdict.findings.front().text;
    }
  });
  return wrong;
}

// Nobody needs libvirt who does not ask for it: without it this machine is whole, too. Returns what
// can be done about it.
std::string look_for_libvirt(const run::RunnerOptions& runner) {
  const auto version = vm::libvirt_version();
  const std::string name = fmt::format("libvirt {}", version ? version.value() : "");
  const auto host = vm::libvirt_host("");
  const std::string wrong =
      host ? try_machines(runner, *host.value()) : std::string(host.error().message);
  fmt::print("{:<8} {:<28} {}\n", wrong.empty() ? "ok" : "without", name,
             wrong.empty() ? "starts guests, without a daemon" : wrong);
  return host ? "" : host.error().hint;
}

ExitCode doctor(const run::RunnerOptions& runner) {
  std::vector<std::string_view> needed;
  std::vector<std::string_view> wanted;
  for (const Tool& tool : kTools) {
    const std::string found = process::program_on_path(tool.program);
    const std::string_view lacking = tool.runs_cells ? "MISSING" : "without";
    fmt::print("{:<8} {:<28} {}\n", found.empty() ? lacking : "ok", tool.program,
               found.empty() ? tool.purpose : found);
    if (found.empty()) {
      (tool.runs_cells ? needed : wanted).push_back(tool.package);
    }
  }
  const std::string wrong = try_machines(runner, vm::direct_host());
  fmt::print("{:<8} {:<28} {}\n", wrong.empty() ? "ok" : "MISSING", "guests",
             wrong.empty() ? "boot and run a program, little- and big-endian" : wrong);
  const std::string libvirt = look_for_libvirt(runner);
  if (!needed.empty()) {
    fmt::print("\nmend it: apt-get install {}\n", fmt::join(needed, " "));
  }
  if (!wanted.empty()) {
    fmt::print("\nfor what it is without: apt-get install {}\n", fmt::join(wanted, " "));
  }
  if (!libvirt.empty()) {
    fmt::print("\nfor --vm libvirt: {}\n", libvirt);
  }
  return needed.empty() && wrong.empty() ? ExitCode::passed : ExitCode::harness_failed;
}

}  // namespace

Command doctor_command(CLI::App& app, const Invocation& invocation) {
  CLI::App* const doctor_app =
      app.add_subcommand("doctor", "Say what this machine has and lacks for farcall");
  return {doctor_app, [invocation] { return doctor(default_runner(invocation)); }};
}

}  // namespace farcall::command
