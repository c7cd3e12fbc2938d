#include "run/command_line.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
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

const std::map<std::string, Format> kFormats = {{"text", Format::text}, {"json", Format::json}};

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

void add_selection(CLI::App& command, RunArguments& arguments) {
  command.add_option("--filter", arguments.filter, "Only cells whose name matches this pattern")
      ->type_name("GLOB");
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
  auto* const paths =
      run->add_option("PATH", arguments.run.paths, "Case files, or folders to search for them");
  run->add_option("--from", arguments.run.from,
                  "Run from a stage that `farcall dump --json` wrote, or another JIT")
      ->type_name("FILE")
      ->excludes(paths);
  run->add_option("--format", arguments.run.format, "text or json")
      ->transform(CLI::CheckedTransformer(kFormats));
  add_selection(*run, arguments.run);
  add_jobs(*run, arguments.runner);

  CLI::App* const list = app.add_subcommand("list", "Print the names of cells");
  list->add_option("PATH", arguments.run.paths, "Case files, or folders")->required();
  add_selection(*list, arguments.run);

  CLI::App* const dump = app.add_subcommand("dump", "Show one cell at one stage of its way");
  dump->add_option("CELL", arguments.dump.cell, "FILE@CELL, as cases/reach/far.case@imm32")
      ->required();
  dump->add_option("--stage", arguments.dump.stage, "The stage")
      ->required()
      ->check(CLI::IsMember(stage_names()));
  dump->add_flag("--json", arguments.dump_json, "As JSON, which `farcall run --from` reads");

  CLI::App* const bench =
      app.add_subcommand("bench", "Measure how many fresh programs a second run");
  bench->add_option("--programs", arguments.bench_programs, "How many programs")
      ->check(CLI::Range(std::size_t{1}, std::size_t{1'000'000}));
  add_jobs(*bench, arguments.runner);

  try {
    app.parse(argc, argv);
    if (run->parsed() && arguments.run.paths.empty() && arguments.run.from.empty()) {
      throw CLI::RequiredError("PATH or --from");
    }
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? exit_code(ExitCode::passed) : exit_code(ExitCode::bad_input);
  }
  arguments.run.runner = arguments.runner;
  arguments.dump.runner = arguments.runner;
  arguments.dump.format = arguments.dump_json ? Format::json : Format::text;
  if (run->parsed()) {
    return exit_code(run_command(arguments.run));
  }
  if (list->parsed()) {
    return exit_code(list_command(arguments.run.paths, arguments.run.filter));
  }
  if (dump->parsed()) {
    return exit_code(dump_command(arguments.dump));
  }
  return exit_code(bench_command(arguments.bench_programs, arguments.runner));
}

}  // namespace farcall::run
