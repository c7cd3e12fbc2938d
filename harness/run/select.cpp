#include "run/select.hpp"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "base/files.hpp"
#include "case/case_file.hpp"
#include "case/find.hpp"
#include "case/hardware.hpp"
#include "case/matrix.hpp"
#include "model/json.hpp"
#include "run/code_layout.hpp"

namespace farcall::run {
namespace {

Result<std::vector<model::Cell>> cells_of(const std::string& path) {
  FARCALL_TRY(parsed, cases::read_case(path));
  return cases::cells(parsed, code_layout());
}

// Whether `path` is FILE@CELL, and no file of that name.
bool names_cell(const std::string& path) {
  std::error_code unknown;
  const std::filesystem::path as_file(path);
  return as_file.filename().string().find('@') != std::string::npos &&
         !std::filesystem::exists(as_file, unknown);
}

// All cells of the case files, of those in folders, and those that are named, in this order.
Result<void> for_each_cell(const std::vector<std::string>& paths,
                           const std::function<void(model::Cell)>& tell) {
  std::vector<std::string> files = paths;
  const auto named = std::stable_partition(
      files.begin(), files.end(), [](const std::string& path) { return !names_cell(path); });
  std::vector<std::string> cells_named(named, files.end());
  files.erase(named, files.end());
  if (!files.empty()) {
    FARCALL_TRY(found, cases::find_case_files(files));
    for (const std::string& file : found) {
      FARCALL_TRY(cells, cells_of(file));
      std::ranges::for_each(cells, [&tell](model::Cell& cell) { tell(std::move(cell)); });
    }
  }
  for (const std::string& path : cells_named) {
    FARCALL_TRY(document, select_cell(path));
    tell(std::move(document.cell));
  }
  return success();
}

// A condition of --where, read: the values of `axis` that are wanted.
struct AxisCondition {
  model::Axis axis{};
  std::vector<std::size_t> values;

  bool holds(const model::AxisValues& axes) const {
    return std::ranges::find(values, value_of(axes, axis)) != values.end();
  }
};

Result<AxisCondition> read_condition(std::string_view text) {
  const auto bad = [text](std::string expected) {
    return Error{.code = ErrorCode::usage_bad_argument,
                 .message = fmt::format("--where '{}': expected {}", text, expected)};
  };
  const auto equals = text.find('=');
  const auto axis = model::axis_named(text.substr(0, equals));
  if (!axis || equals == std::string_view::npos) {
    return bad("AXIS=VALUE with one of the axes endian cpu mmu abi call reach guest");
  }
  AxisCondition condition{.axis = *axis};
  const auto names = model::value_names(*axis);
  for (std::string_view rest = text.substr(equals + 1); !rest.empty();) {
    const auto comma = rest.find(',');
    const auto found = std::ranges::find(names, rest.substr(0, comma));
    if (found == names.end()) {
      return bad(fmt::format("{}=VALUE with one of {}", name(*axis), fmt::join(names, " ")));
    }
    condition.values.push_back(static_cast<std::size_t>(found - names.begin()));
    rest = comma == std::string_view::npos ? "" : rest.substr(comma + 1);
  }
  return condition;
}

// The names of the cells that did not pass, from a report of `--format json`.
Result<std::set<std::string>> failed_cells(const std::string& path) {
  constexpr std::string_view kHint = "farcall run PATH… --format json --output FILE writes one";
  FARCALL_TRY(text, read_file(path, kHint));
  const model::Json report = model::Json::parse(text, nullptr, false);
  if (!report.is_object() || !report.contains("cells") || !report["cells"].is_array()) {
    return Error{.code = ErrorCode::json_malformed,
                 .message = "this is no report of farcall run",
                 .where = {path},
                 .hint = std::string(kHint)};
  }
  std::set<std::string> names;
  const auto text_of = [](const model::Json& cell, const char* key) {
    return cell.is_object() && cell.contains(key) && cell[key].is_string()
               ? cell[key].get<std::string>()
               : std::string();
  };
  for (const model::Json& cell : report["cells"]) {
    if (text_of(cell, "outcome") != "pass") {
      names.insert(text_of(cell, "cell"));
    }
  }
  return names;
}

}  // namespace

Result<std::vector<model::Document>> select_cells(const Selection& selection) {
  std::vector<AxisCondition> conditions;
  for (const std::string& text : selection.where) {
    FARCALL_TRY(condition, read_condition(text));
    conditions.push_back(std::move(condition));
  }
  std::optional<std::set<std::string>> failed;
  if (!selection.failed_in.empty()) {
    FARCALL_TRY(names, failed_cells(selection.failed_in));
    if (names.empty()) {
      return Error{.code = ErrorCode::usage_nothing_selected,
                   .message = "every cell of this report passed: there is nothing to run again",
                   .where = {selection.failed_in}};
    }
    failed = std::move(names);
  }
  const auto wanted = [&](const model::Cell& cell) {
    return (selection.filters.empty() ||
            std::ranges::any_of(selection.filters,
                                [&](const std::string& filter) {
                                  return fnmatch(filter.c_str(), cell.name.c_str(), 0) == 0;
                                })) &&
           std::ranges::all_of(conditions,
                               [&](const auto& condition) { return condition.holds(cell.axes); }) &&
           (!failed || failed->contains(cell.name));
  };

  std::vector<model::Document> documents;
  std::size_t cells_seen = 0;
  std::size_t cells_wanted = 0;
  std::set<std::string> seen;
  FARCALL_TRYV(for_each_cell(selection.paths, [&](model::Cell cell) {
    if (!seen.insert(fmt::format("{}@{}", cell.case_path, cell.name)).second) {
      return;
    }
    ++cells_seen;
    if (wanted(cell)) {
      ++cells_wanted;
      if (in_shard(cell.name, selection.shard)) {
        documents.push_back({.cell = std::move(cell)});
      }
    }
  }));
  if (cells_wanted == 0) {
    return Error{.code = ErrorCode::usage_nothing_selected,
                 .message = fmt::format("none of {} cells is selected", cells_seen) +
                            (failed ? fmt::format(", or is one of the {} that did not pass in {}",
                                                  failed->size(), selection.failed_in)
                                    : ""),
                 .hint = "farcall list PATH… shows the names"};
  }
  return documents;
}

bool in_shard(std::string_view cell_name, report::Shard shard) {
  // FNV-1a, 64 bits: the same everywhere, and spread evenly.
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : cell_name) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  }
  return hash % shard.count == shard.index - 1;
}

Result<model::Document> select_cell(std::string_view file_at_cell) {
  const auto name_begin = file_at_cell.rfind('/');
  const auto at = file_at_cell.find('@', name_begin == std::string_view::npos ? 0 : name_begin);
  const std::string file(file_at_cell.substr(0, at));
  FARCALL_TRY(cells, cells_of(file));
  constexpr std::size_t kNamesShown = 12;
  std::string known;
  std::size_t count = 0;
  for (model::Cell& cell : cells) {
    const auto suffix =
        std::string_view(cell.name).substr(std::min(cell.name.find('@'), cell.name.size()));
    if (suffix == (at == std::string_view::npos ? "" : file_at_cell.substr(at))) {
      return model::Document{.cell = std::move(cell)};
    }
    if (++count <= kNamesShown) {
      known += fmt::format(" {}{}", file, suffix);
    }
  }
  if (count > kNamesShown) {
    known += fmt::format(" … and {} more", count - kNamesShown);
  }
  return Error{.code = ErrorCode::usage_nothing_selected,
               .message = fmt::format("no cell '{}'; expected one of:{}", file_at_cell, known)};
}

Result<model::Document> read_document_file(const std::string& path) {
  FARCALL_TRY(text,
              read_file(path, "farcall dump --json --stage=image FILE@CELL writes such a file",
                        kMostDocumentBytes));
  FARCALL_TRY(document, model::read_document(text, path));
  if (!cases::is_possible(document.cell.axes)) {
    return Error{.code = ErrorCode::json_malformed,
                 .message = "there is no such machine: expected axes that some hardware has",
                 .where = {path},
                 .hint = "radix needs power9, pcrel power10, ELFv1 big-endian"};
  }
  return document;
}

}  // namespace farcall::run
