#include "run/select.hpp"

#include <fmt/format.h>
#include <fnmatch.h>

#include <fstream>
#include <iterator>

#include "case/case_file.hpp"
#include "case/find.hpp"
#include "case/matrix.hpp"
#include "model/json.hpp"

namespace farcall::run {
namespace {

// Documents of 16 MiB hold the largest image that read_document() takes.
constexpr std::size_t kMaximumDocumentBytes = std::size_t{16} << 20;

Result<std::vector<model::Cell>> cells_of(const std::string& path) {
  BOOST_OUTCOME_TRY(parsed, cases::read_case(path));
  return cases::cells(parsed);
}

}  // namespace

Result<std::vector<model::Document>> select_cells(const std::vector<std::string>& paths,
                                                  const std::string& filter) {
  BOOST_OUTCOME_TRY(files, cases::find_case_files(paths));
  std::vector<model::Document> documents;
  std::size_t cells_seen = 0;
  for (const std::string& file : files) {
    BOOST_OUTCOME_TRY(cells, cells_of(file));
    cells_seen += cells.size();
    for (model::Cell& cell : cells) {
      if (filter.empty() || fnmatch(filter.c_str(), cell.name.c_str(), 0) == 0) {
        documents.push_back({.cell = std::move(cell)});
      }
    }
  }
  if (documents.empty()) {
    return Error{.code = ErrorCode::usage_nothing_selected,
                 .message = fmt::format("'{}' matches none of {} cells", filter, cells_seen),
                 .hint = "farcall list PATH… shows the names"};
  }
  return documents;
}

Result<model::Document> select_cell(std::string_view file_at_cell) {
  const auto at = file_at_cell.rfind('@');
  const std::string file(file_at_cell.substr(0, at));
  BOOST_OUTCOME_TRY(cells, cells_of(file));
  std::string known;
  for (model::Cell& cell : cells) {
    const auto suffix =
        std::string_view(cell.name).substr(std::min(cell.name.find('@'), cell.name.size()));
    if (suffix == (at == std::string_view::npos ? "" : file_at_cell.substr(at))) {
      return model::Document{.cell = std::move(cell)};
    }
    known += fmt::format(" {}{}", file, suffix);
  }
  return Error{.code = ErrorCode::usage_nothing_selected,
               .message = fmt::format("no cell '{}'; expected one of:{}", file_at_cell, known)};
}

Result<model::Document> read_document_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (!file) {
    return Error{.code = ErrorCode::file_unreadable,
                 .message = "cannot be read",
                 .where = {path},
                 .hint = "farcall dump --json --stage=image FILE@CELL writes such a file"};
  }
  if (text.size() > kMaximumDocumentBytes) {
    return Error{
        .code = ErrorCode::file_too_large,
        .message = fmt::format("{} bytes; expected at most {}", text.size(), kMaximumDocumentBytes),
        .where = {path}};
  }
  return model::read_document(text, path);
}

}  // namespace farcall::run
