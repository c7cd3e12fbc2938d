// From what the user names on the command line to documents that can be run.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "model/document.hpp"

namespace farcall::run {

// The cells of all case files that `paths` name (files, or folders that are searched), in the order
// of files and of the matrix, as far as their names match the shell pattern `filter`. Selecting
// nothing is usage.nothing-selected: a green run of no cells would say nothing.
Result<std::vector<model::Document>> select_cells(const std::vector<std::string>& paths,
                                                  const std::string& filter);

// The one cell that `FILE@CELL` names: `cases/reach/far.case@imm32`, or the file alone if its case
// declares no axes.
Result<model::Document> select_cell(std::string_view file_at_cell);

// A stage document that `farcall dump --json` wrote, or anyone else.
Result<model::Document> read_document_file(const std::string& path);

}  // namespace farcall::run
