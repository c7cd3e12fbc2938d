#include <fmt/format.h>

#include <CLI/App.hpp>
#include <memory>
#include <span>

#include "command/commands.hpp"
#include "command/options.hpp"
#include "run/machine_run.hpp"
#include "run/pipeline.hpp"
#include "selection/select.hpp"
#include "vm/machine.hpp"

namespace farcall::command {
namespace {

struct ConsoleArguments {
  std::string cell;  // FILE@CELL
  std::filesystem::path images;
  vm::Host* host = &vm::direct_host();
};

// Runs the cell's program and shows what the guest wrote to its console meanwhile. What a guest
// said that failed is in the error.
Result<void> show_console(const ConsoleArguments& arguments) {
  FARCALL_TRY(document, selection::select_cell(arguments.cell));
  const check::Testimony prepared = run::prepare(document, 0);
  if (!prepared.job) {
    return run::no_image(document, prepared);
  }
  FARCALL_TRY(machine, vm::Machine::start(run::machine_spec(document.cell.axes, arguments.images),
                                          *arguments.host));
  FARCALL_TRYV(machine.submit(std::span(&*prepared.job, 1)));
  FARCALL_TRYV(machine.collect());
  fmt::print("{}", machine.console());
  return success();
}

}  // namespace

Command console_command(CLI::App& app, const Invocation& invocation) {
  const auto arguments = std::make_shared<ConsoleArguments>();
  arguments->images = invocation.images;
  CLI::App* const console_app =
      app.add_subcommand("console", "What the guest itself says while it runs a cell");
  console_app
      ->add_option("CELL", arguments->cell, "FILE@CELL, such as cases/scheme/beyond-2g.case@imm32")
      ->required();
  return {console_app, with_host(*console_app, arguments->host, [arguments] {
            const auto shown = show_console(*arguments);
            return shown ? ExitCode::passed : report_error(shown.error());
          })};
}

}  // namespace farcall::command
