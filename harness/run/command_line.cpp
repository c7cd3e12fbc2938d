#include "run/command_line.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "run/commands.hpp"

namespace farcall::run {
namespace {

// Guest images lie beside the program, wherever the build or an installation put it.
std::filesystem::path images_folder() {
  std::error_code failure;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", failure);
  return self.parent_path() / "images";
}

const std::map<std::string, Format> kFormats = {
    {"text", Format::text}, {"json", Format::json}, {"junit", Format::junit}, {"tap", Format::tap}};

// What the user asked for; each command reads what concerns it.
struct Arguments {
  RunArguments run;
  DumpArguments dump;
  bool dump_json = false;
  std::size_t bench_programs = 10'000;
  RunnerOptions runner;
};

void add_jobs(CLI::App& command, RunnerOptions& runner) {
  command
      .add_option("--jobs", runner.machines,
                  "Machines that run at the same time; as many as cores by default")
      ->check(CLI::Range(1U, 64U));
}

void add_selection(CLI::App& command, Selection& selection) {
  command.add_option("--filter", selection.filter, "Only cells whose name matches this pattern")
      ->type_name("GLOB");
  command
      .add_option("--where", selection.where,
                  "Only cells with these values of an axis, as cpu=power9,power10")
      ->type_name("AXIS=VALUES")
      ->take_all();
}

void add_run(CLI::App& run, Arguments& arguments) {
  auto* const paths = run.add_option("PATH", arguments.run.selection.paths,
                                     "Case files, or folders to search for them");
  auto* const from =
      run.add_option("--from", arguments.run.from,
                     "Run from stages that `farcall dump --json` wrote, or another JIT")
          ->type_name("FILE...")
          ->excludes(paths);
  run.add_option("--rerun-failed", arguments.run.selection.failed_in,
                 "Only cells that did not pass in this report of --format json")
      ->type_name("FILE")
      ->excludes(from);
  run.add_flag("--fail-fast", arguments.runner.stop_at_failure,
               "Stop at the first cell that does not pass");
  run.add_option("--repeat", arguments.run.repeat, "Run every cell so many times")
      ->check(CLI::Range(std::size_t{1}, std::size_t{100'000}));
  run.add_option("--format", arguments.run.format, "text, json, junit or tap")
      ->transform(CLI::CheckedTransformer(kFormats));
  run.add_option("--output", arguments.run.output,
                 "Write the report to this file, and text to the terminal")
      ->type_name("FILE");
  add_selection(run, arguments.run.selection);
  run.get_option("--filter")->excludes(from);
  run.get_option("--where")->excludes(from);
  add_jobs(run, arguments.runner);
}

int exit_code(ExitCode code) {
  return static_cast<int>(code);
}

}  // namespace

int command_line(int argc, char** argv) {
  Arguments arguments;
  arguments.run.program = argv[0];
  arguments.runner = {.machines = std::max(1U, std::thread::hardware_concurrency()),
                      .images = images_folder()};

  CLI::App app(
      "farcall checks where a JITed BPF call lands on ppc64, however far away the callee is.");
  app.require_subcommand(1);
  app.set_version_flag("--version", FARCALL_VERSION);

  CLI::App* const run = app.add_subcommand("run", "Run cells and say whether all witnesses agree");
  add_run(*run, arguments);

  CLI::App* const list = app.add_subcommand("list", "Print the names of cells");
  list->add_option("PATH", arguments.run.selection.paths, "Case files, or folders")->required();
  add_selection(*list, arguments.run.selection);

  CLI::App* const dump = app.add_subcommand("dump", "Show one cell at one stage of its way");
  dump->add_option("CELL", arguments.dump.cell, "FILE@CELL, as cases/reach/far.case@imm32")
      ->required();
  dump->add_option("--stage", arguments.dump.stage, "The stage")
      ->required()
      ->check(CLI::IsMember(stage_names()));
  dump->add_flag("--json", arguments.dump_json, "As JSON, which `farcall run --from` reads");

  CLI::App* const doctor =
      app.add_subcommand("doctor", "Say what this machine has and lacks for farcall");

  CLI::App* const bench =
      app.add_subcommand("bench", "Measure how many fresh programs a second run");
  bench->add_option("--programs", arguments.bench_programs, "How many programs")
      ->check(CLI::Range(std::size_t{1}, std::size_t{1'000'000}));
  add_jobs(*bench, arguments.runner);

  try {
    app.parse(argc, argv);
    if (run->parsed() && arguments.run.selection.paths.empty() && arguments.run.from.empty()) {
      throw CLI::RequiredError("PATH or --from");
    }
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? exit_code(ExitCode::passed) : exit_code(ExitCode::bad_input);
  }
  arguments.run.runner = arguments.runner;
  arguments.dump.runner = arguments.runner;
  arguments.dump.format = arguments.dump_json ? Format::json : Format::text;
  const auto command = [&]() {
    if (run->parsed()) {
      return run_command(arguments.run);
    }
    if (list->parsed()) {
      return list_command(arguments.run.selection);
    }
    if (dump->parsed()) {
      return dump_command(arguments.dump);
    }
    if (doctor->parsed()) {
      return doctor_command(arguments.runner);
    }
    return bench_command(arguments.bench_programs, arguments.runner);
  };
  try {
    const ExitCode code = command();
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
      return exit_code(report_error(
          {.code = ErrorCode::file_unwritable, .message = "standard output could not be written"}));
    }
    return exit_code(code);
  } catch (const std::exception& error) {  // a broken environment, or a defect of farcall
    fmt::print(stderr, "error: {}\n", error.what());
    return exit_code(ExitCode::harness_failed);
  }
}

}  // namespace farcall::run
