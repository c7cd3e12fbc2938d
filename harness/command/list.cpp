#include <fmt/format.h>

#include <memory>

#include "command/commands.hpp"
#include "command/options.hpp"
#include "run/select.hpp"

namespace farcall::command {
namespace {

ExitCode list(const run::Selection& selection) {
  const auto documents = run::select_cells(selection);
  if (!documents) {
    return report_error(documents.error());
  }
  if (documents.value().empty()) {
    fmt::print(stderr, "part {} of {} has no cells: all that are selected are in other parts\n",
               selection.shard.index, selection.shard.count);
  }
  for (const model::Document& document : documents.value()) {
    fmt::print("{:<48} {}\n", document.cell.name, document.cell.case_path);
  }
  return ExitCode::passed;
}

}  // namespace

Command list_command(CLI::App& app, const Invocation&) {
  const auto selection = std::make_shared<run::Selection>();
  CLI::App* const list_app = app.add_subcommand("list", "Print the names of cells");
  list_app->add_option("PATH", selection->paths, "Case files, folders, FILE@CELL, or -")
      ->required();
  add_selection(*list_app, *selection);
  return {list_app, [selection] { return list(*selection); }};
}

}  // namespace farcall::command
