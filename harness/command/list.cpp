#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string>

#include "command/commands.hpp"
#include "command/options.hpp"
#include "selection/select.hpp"

namespace farcall::command {
namespace {

ExitCode list(const selection::Selection& selection) {
  const auto selected = selection::select_cells(selection, cases::Contents::none);
  if (!selected) {
    return report_error(selected.error());
  }
  if (selected.value().documents.empty() && selected.value().bad.empty()) {
    note(fmt::format("part {} of {} has no cells: all that are selected are in other parts",
                     selection.shard.index, selection.shard.count));
  }
  for (const model::Document& document : selected.value().documents) {
    // Names are ASCII: to have fmt count their width takes a tenth of the run.
    std::string name = document.cell.name;
    name.resize(std::max<std::size_t>(name.size(), 48), ' ');
    fmt::print("{} {}\n", name, document.cell.case_path);
  }
  for (const selection::BadFile& bad : selected.value().bad) {
    report_error(bad.error);
  }
  return selected.value().bad.empty() ? ExitCode::passed : ExitCode::bad_input;
}

}  // namespace

Command list_command(CLI::App& app, const Invocation& /*unused*/) {
  const auto selection = std::make_shared<selection::Selection>();
  CLI::App* const list_app = app.add_subcommand("list", "Print the names of cells");
  list_app->add_option("PATH", selection->paths, "Case files, folders, FILE@CELL, or -")
      ->required();
  add_selection(*list_app, *selection);
  return {list_app, [selection] { return list(*selection); }};
}

}  // namespace farcall::command
