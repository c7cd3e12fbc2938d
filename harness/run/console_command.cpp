#include <fmt/format.h>

#include <CLI/App.hpp>
#include <memory>
#include <span>

#include "run/commands.hpp"
#include "run/machine_run.hpp"
#include "run/pipeline.hpp"
#include "run/select.hpp"
#include "vm/machine.hpp"

namespace farcall::run {
namespace {

// Runs the cell's program and shows what the guest wrote to its console meanwhile. What a guest
// said that failed is in the error.
Result<void> show_console(const std::string& cell, const Invocation& invocation) {
  BOOST_OUTCOME_TRY(document, select_cell(cell));
  const Prepared prepared = prepare(document, 1);
  if (!prepared.job) {
    return no_image(document, prepared);
  }
  BOOST_OUTCOME_TRY(machine,
                    vm::Machine::start(machine_spec(document.cell.axes, invocation.images)));
  BOOST_OUTCOME_TRYV(machine.submit(std::span(&*prepared.job, 1)));
  BOOST_OUTCOME_TRYV(machine.collect());
  fmt::print("{}", machine.console());
  return success();
}

}  // namespace

Command console_command(CLI::App& app, const Invocation& invocation) {
  const auto cell = std::make_shared<std::string>();
  CLI::App* const console_app =
      app.add_subcommand("console", "What the guest itself says while it runs a cell");
  console_app->add_option("CELL", *cell, "FILE@CELL, as cases/reach/far.case@imm32")->required();
  return {console_app, [cell, invocation] {
            const auto shown = show_console(*cell, invocation);
            return shown ? ExitCode::passed : report_error(shown.error());
          }};
}

}  // namespace farcall::run
