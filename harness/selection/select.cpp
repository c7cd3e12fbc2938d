#include "selection/select.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <span>
#include <thread>
#include <utility>

#include "base/files.hpp"
#include "base/parallel.hpp"
#include "case/case_file.hpp"
#include "case/find.hpp"
#include "case/hardware.hpp"
#include "case/wanted.hpp"
#include "faults/control.hpp"
#include "model/json.hpp"
#include "run/pipeline.hpp"
#include "selection/code_layout.hpp"
#include "selection/edges.hpp"

namespace farcall::selection {
namespace {

// Where a case compares the addresses of its parts, its result is another one elsewhere.
bool returns_as_expected(const model::Cell& cell) {
  const auto run = run::interpreted(cell);
  return run && cell.expected.result.value_or(run.value().r0) == run.value().r0;
}

// `large`: the cells are wanted at edges.
Result<std::vector<model::Cell>> cells_of(const std::string& path, LargePrograms* large,
                                          cases::KernelFiles& kernels,
                                          cases::Contents contents = cases::Contents::all) {
  FARCALL_TRY(parsed, cases::read_case(path, &kernels));
  if (large != nullptr || !parsed.spoiled.empty()) {  // these are looked into
    contents = cases::Contents::all;
  }
  FARCALL_TRY(placed, cases::placed_cells(parsed, code_layout(), contents));
  std::vector<model::Cell> cells;
  cells.reserve(placed.size());
  if (large == nullptr) {
    for (cases::PlacedCell& one : placed) {
      cells.push_back(std::move(one.cell));
    }
    return cells;
  }
  for (const cases::PlacedCell& one : placed) {
    cells.push_back(one.cell);
  }
  return at_edges(
      cells,
      [&](std::size_t index, const model::Placement& to) -> Result<std::optional<model::Cell>> {
        FARCALL_TRY(moved, cases::moved(parsed, placed[index], to));
        if (returns_as_expected(cells[index]) && !returns_as_expected(moved)) {
          return std::optional<model::Cell>();
        }
        return std::optional(std::move(moved));
      },
      *large);
}

// Of those that a run makes 32 MiB long: each takes seconds.
constexpr std::size_t kMostLargePrograms = 1;

// Read before the cells of the first are looked at: those that nobody wants are not kept.
constexpr std::size_t kFilesAThread = 16;

// Whether `path` is FILE@CELL, and no file of that name.
bool names_cell(const std::string& path) {
  std::error_code unknown;
  const std::filesystem::path as_file(path);
  return as_file.filename().string().find('@') != std::string::npos &&
         !std::filesystem::exists(as_file, unknown);
}

// The names of the cells that did not pass, and those of files that were bad, from a report of
// `--format json`.
Result<std::set<std::string>> failed_cells(const std::string& path) {
  constexpr std::string_view kHint = "farcall run PATH… --format json --output FILE writes one";
  FARCALL_TRY(text, read_file(path, kHint));
  const model::Json report = model::json_or_discarded(text);
  if (!report.is_object() || !report.contains("cells") || !report["cells"].is_array()) {
    return Error{.code = ErrorCode::json_malformed,
                 .message = "this is not a report of farcall run",
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

class Selecting {
 public:
  // `failed`: the cells that did not pass in selection.failed_in, if there is such a report.
  Selecting(const Selection& selection, cases::Contents contents,
            std::vector<cases::AxisCondition> conditions,
            std::optional<std::set<std::string>> failed)
      : selection_(selection),
        contents_(contents),
        conditions_(std::move(conditions)),
        failed_(std::move(failed)) {
    // Room that stays empty costs nothing; moving them each time that there are more does.
    constexpr std::size_t kRoom = 16'384;
    selected_.documents.reserve(kRoom);
  }

  Result<Selected> all() {
    std::vector<std::string> paths = selection_.paths;
    const auto named = std::ranges::stable_partition(paths, std::not_fn(names_cell));
    const std::vector<std::string> cells(named.begin(), named.end());
    paths.erase(named.begin(), named.end());
    if (!paths.empty()) {
      add_found(cases::find_case_files(paths), !cells.empty());
    }
    add_named(cells);
    if (cells_wanted_ == 0 && bad_files_ == 0) {
      return Error{
          .code = ErrorCode::usage_nothing_selected,
          .message = fmt::format("none of {} cell{} is selected", cells_seen_,
                                 cells_seen_ == 1 ? "" : "s") +
                     (failed_ ? fmt::format(", or is one of the {} that did not pass in {}",
                                            failed_->size(), selection_.failed_in)
                              : ""),
          .hint = "farcall list PATH… shows the names"};
    }
    selected_.not_large = large_.left_out;
    return std::move(selected_);
  }

 private:
  bool is_wanted(const model::Cell& cell) const {
    const bool is_named =
        selection_.filters.empty() ||
        std::ranges::any_of(selection_.filters, [&cell](const std::string& filter) {
          return cases::matches(filter, cell.name);
        });
    return is_named && all_hold(conditions_, cell.axes) &&
           (!failed_ || failed_->contains(cell.name) ||
            failed_->contains(case_name(cell.case_path)));
  }

  // Whether there may be cells in the file that the filters select.
  bool may_be_wanted(const std::string& file) const {
    return selection_.filters.empty() || file == "-" ||
           std::ranges::any_of(selection_.filters, [&](const std::string& filter) {
             return cases::may_match(filter, case_name(file));
           });
  }

  void add_bad(const std::string& path, Error error) {
    ++bad_files_;
    if (in_shard(case_name(path), selection_.shard)) {
      selected_.bad.push_back({.path = path, .error = std::move(error)});
    }
  }

  void add(model::Cell cell) {
    ++cells_seen_;
    if (!is_wanted(cell)) {
      return;
    }
    ++cells_wanted_;
    if (!in_shard(cell.name, selection_.shard)) {
      return;
    }
    const std::string path = cell.case_path;
    auto document = faults::spoiled({.cell = std::move(cell)});
    if (document) {
      selected_.documents.push_back(std::move(document).value());
    } else {
      add_bad(path, std::move(document).error());
    }
  }

  // `others`: there are cells besides that were named one by one.
  void add_found(cases::FoundFiles found, bool others) {
    for (Error& error : found.errors) {
      const std::string path = error.where.file;
      add_bad(path, std::move(error));
    }
    const auto passed_over = std::ranges::stable_partition(
        found.files, [this](const std::string& file) { return may_be_wanted(file); });
    const std::span<const std::string> files(found.files);
    const auto count = files.size() - passed_over.size();
    add_files(files.first(count));
    if (cells_wanted_ == 0 && bad_files_ == 0 && !others) {
      add_files(files.subspan(count));  // of how many nothing is selected: who asks should know
    }
  }

  void add_files(std::span<const std::string> files) {
    LargePrograms* const large = selection_.edges ? &large_ : nullptr;
    // At edges one file after the other: which program is made large depends on it.
    const std::size_t threads = selection_.edges ? 1 : std::thread::hardware_concurrency();
    const std::size_t at_once = kFilesAThread * threads;
    for (std::size_t begin = 0; begin < files.size(); begin += at_once) {
      std::vector<Result<std::vector<model::Cell>>> read(std::min(at_once, files.size() - begin),
                                                         std::vector<model::Cell>());
      for_each_index(read.size(), threads, [&](std::size_t i) {
        read[i] = cells_of(files[begin + i], large, kernels_, contents_);
      });
      for (std::size_t i = 0; i < read.size(); ++i) {
        if (!read[i]) {
          add_bad(files[begin + i], std::move(read[i]).error());
          continue;
        }
        for (model::Cell& cell : read[i].value()) {
          add(std::move(cell));
        }
      }
    }
  }

  // Cells as FILE@CELL. One is run once, however often it is named.
  void add_named(const std::vector<std::string>& names) {
    std::set<std::pair<std::string, std::string>> known;
    if (!names.empty()) {
      for (const model::Document& document : selected_.documents) {
        known.emplace(document.cell.case_path, document.cell.name);
      }
    }
    for (const std::string& name : names) {
      auto document = select_cell(name);
      if (!document) {
        add_bad(name, std::move(document).error());
        continue;
      }
      model::Cell& cell = document.value().cell;
      if (known.emplace(cell.case_path, cell.name).second) {
        add(std::move(cell));
      }
    }
  }

  const Selection& selection_;
  cases::Contents contents_;
  std::vector<cases::AxisCondition> conditions_;
  std::optional<std::set<std::string>> failed_;
  cases::KernelFiles kernels_;
  LargePrograms large_{.most = kMostLargePrograms};
  Selected selected_;
  std::size_t cells_seen_ = 0;
  std::size_t cells_wanted_ = 0;
  std::size_t bad_files_ = 0;
};

}  // namespace

Result<Selected> select_cells(const Selection& selection, cases::Contents contents) {
  FARCALL_TRY(conditions, cases::read_conditions(selection.where));
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
  return Selecting(selection, contents, std::move(conditions), std::move(failed)).all();
}

std::string case_name(const std::string& path) {
  const std::filesystem::path name(path);
  return name.has_stem() ? name.stem().string() : path;
}

bool in_shard(std::string_view cell_name, report::Shard shard) {
  if (shard.count == 1) {
    return true;
  }
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
  const bool edges = file_at_cell.find("edge-", at) != std::string_view::npos;
  cases::KernelFiles kernels;
  LargePrograms large{.most = kMostLargePrograms};
  FARCALL_TRY(cells, cells_of(file, edges ? &large : nullptr, kernels));
  constexpr std::size_t kNamesShown = 12;
  std::string known;
  std::size_t count = 0;
  for (model::Cell& cell : cells) {
    const auto suffix =
        std::string_view(cell.name).substr(std::min(cell.name.find('@'), cell.name.size()));
    if (suffix == (at == std::string_view::npos ? "" : file_at_cell.substr(at))) {
      return faults::spoiled({.cell = std::move(cell)});
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
                 .message = "no machine has such axes: expected some that a CPU has together",
                 .where = {path},
                 .hint = "radix needs power9, pcrel power10, ELFv1 big-endian"};
  }
  return document;
}

}  // namespace farcall::selection
