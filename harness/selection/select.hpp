// From what the user names on the command line to documents that can be run.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "case/matrix.hpp"
#include "model/document.hpp"
#include "report/report.hpp"

namespace farcall::selection {

// Which cells the user wants; everything that is said must hold, what is empty says nothing.
struct Selection {
  // Case files, folders that are searched for them, single cells as FILE@CELL, `-`: a case on
  // standard input.
  std::vector<std::string> paths;
  // Shell patterns over cell names: one of them must match. Of files whose names cannot be those of
  // such cells nothing is known, be they good or bad.
  std::vector<std::string> filters;
  std::vector<std::string> where;  // `AXIS=VALUE[,VALUE…]`, such as `cpu=power9,power10`
  std::string failed_in;           // a JSON report: only cells that did not pass there
  bool edges = false;              // at edges, see at_edges(), instead of the cells' own places
  report::Shard shard;             // only cells whose names are in this part
};

// A file whose cells nobody knows.
struct BadFile {
  std::string path;  // as it was named or found
  Error error;
};

struct Selected {
  std::vector<model::Document> documents;
  std::vector<BadFile> bad;
  // At edges: how many programs were not made 32 MiB long, as one of the run is.
  std::size_t not_large = 0;
};

// The selected cells in the order of files and of the matrix. A file that cannot be understood does
// not keep others from being run; with shards, it belongs to one of them. Selecting nothing is
// usage.nothing-selected: a green run of no cells would say nothing. Only a shard may be empty, if
// there are cells for others.
// Without `contents` the documents are good for nothing but their names.
Result<Selected> select_cells(const Selection& selection,
                              cases::Contents contents = cases::Contents::all);

// What the cells of this file are called, but for their axes.
std::string case_name(const std::string& path);

// Whether cells of this name are in the shard: so on every machine, whatever other cells there are.
bool in_shard(std::string_view cell_name, report::Shard shard);

// The one cell that `FILE@CELL` names: `cases/scheme/beyond-2g.case@imm32`, or the file alone if its case
// declares no axes.
Result<model::Document> select_cell(std::string_view file_at_cell);

// A stage document that `farcall dump --json` wrote, or anyone else.
Result<model::Document> read_document_file(const std::string& path);

}  // namespace farcall::selection
