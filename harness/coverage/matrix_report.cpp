#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "coverage/matrix.hpp"

namespace farcall::coverage {
namespace {

std::size_t widest_name(const FaultMatrix& matrix) {
  std::size_t wide = 0;
  for (const FaultRow& row : matrix.rows) {
    wide = std::max(wide, row.fault->name.size());
  }
  return wide;
}

// In how many cells a witness spoke.
std::string mark(const FaultRow& row, std::size_t witness) {
  return row.seen[witness] == 0 ? "·" : fmt::format("{}", row.seen[witness]);
}

std::string problems(const FaultMatrix& matrix) {
  std::string text;
  for (const FaultRow* const row : matrix.unseen()) {
    text += row->cells == 0
                ? fmt::format("{}: no cell shows it; a case is missing\n", row->fault->name)
                : fmt::format(
                      "{}: put into {} cells, and nothing catches it: a case or a check is "
                      "missing\n",
                      row->fault->name, row->cells);
  }
  for (const Witness witness : matrix.idle()) {
    text += fmt::format("{} is never the only witness of a fault\n", name(witness));
  }
  return text;
}

// Whether nothing was to be caught: there is no place for the fault in this JIT's code.
bool has_no_place(const FaultMatrix& matrix, const FaultRow& row) {
  return !matrix.is_ours && row.not_applicable.empty() && row.cells == 0;
}

// The faults that were not put into another JIT than ours, and why.
std::string left_out(const FaultMatrix& matrix) {
  std::map<std::string_view, std::vector<std::string_view>> names;
  for (const FaultRow& row : matrix.rows) {
    if (has_no_place(matrix, row)) {
      names["no place for it in the code of these cells"].push_back(row.fault->name);
    } else if (!row.not_applicable.empty()) {
      names[row.not_applicable].push_back(row.fault->name);
    }
  }
  std::string text;
  for (const auto& [why, some] : names) {
    text += fmt::format("not put in ({}): {}\n", why, fmt::join(some, ", "));
  }
  return text;
}

std::string cells_line(const FaultMatrix& matrix) {
  const CellCount& cells = matrix.cells;
  return fmt::format(
      "{}: {} of {} cells take part; it makes no code of {}, and {} do not pass without any "
      "fault\n",
      matrix.jit, cells.left(), cells.all, cells.refused, cells.failing);
}

}  // namespace

std::string summary(const FaultMatrix& matrix) {
  const std::vector<const FaultRow*> placed = matrix.placed();
  const auto caught =
      std::ranges::count_if(placed, [](const FaultRow* row) { return row->caught != 0; });
  std::string text = fmt::format("{}: {} of {} faults caught", matrix.jit, caught, placed.size());
  if (matrix.rows.size() != placed.size()) {
    const auto foreign = std::ranges::count_if(
        matrix.rows, [](const FaultRow& row) { return !row.not_applicable.empty(); });
    text += fmt::format("; {} have no place, {} are not applicable",
                        matrix.rows.size() - placed.size() - static_cast<std::size_t>(foreign),
                        foreign);
  }
  return text + "\n";
}

std::string matrix_text(const FaultMatrix& matrix) {
  const std::size_t wide = widest_name(matrix);
  std::string text = matrix.is_ours ? "" : cells_line(matrix) + "\n";
  text += fmt::format("{:{}}  {:>11}", "", wide, "caught");
  for (std::size_t i = 0; i < kWitnessCount; ++i) {
    text += fmt::format("  {}", name(static_cast<Witness>(i)));
  }
  text += "  first\n";
  for (const FaultRow& row : matrix.rows) {
    if (!row.not_applicable.empty() || has_no_place(matrix, row)) {
      continue;
    }
    text += fmt::format("{:{}}  {:>11}", row.fault->name, wide,
                        fmt::format("{} of {}", row.caught, row.cells));
    for (std::size_t i = 0; i < kWitnessCount; ++i) {
      text += fmt::format("  {:>{}}", mark(row, i), name(static_cast<Witness>(i)).size());
    }
    text += fmt::format("  {}\n", row.first.substr(row.first.find('@') + 1));
  }
  text += "\n" + left_out(matrix);
  return text + problems(matrix);
}

std::string matrix_markdown(const FaultMatrix& matrix) {
  std::string text = matrix.is_ours ? "" : cells_line(matrix) + "\n";
  text += "| fault | in the | what is wrong | source |";
  std::string line = "|---|---|---|---|";
  for (std::size_t i = 0; i < kWitnessCount; ++i) {
    text += fmt::format(" {} |", name(static_cast<Witness>(i)));
    line += ":-:|";
  }
  text += "\n" + line + "\n";
  for (const FaultRow& row : matrix.rows) {
    if (!row.not_applicable.empty() || has_no_place(matrix, row)) {
      continue;
    }
    text += fmt::format("| `{}` | {} | {} | {} |", row.fault->name, name(row.fault->part),
                        row.fault->what, row.fault->source);
    for (std::size_t i = 0; i < kWitnessCount; ++i) {
      const bool alone = row.only() == static_cast<Witness>(i);
      text += row.seen[i] == 0 ? "  |" : alone ? " **●** |" : " ✓ |";
    }
    text += "\n";
  }
  const std::string rest = left_out(matrix) + problems(matrix);
  return text + (rest.empty() ? "" : "\n" + rest);
}

model::Json matrix_json(const FaultMatrix& matrix) {
  const std::vector<const FaultRow*> placed = matrix.placed();
  model::Json json = {{"jit", matrix.jit},
                      {"caught", std::ranges::count_if(
                                     placed, [](const FaultRow* row) { return row->caught != 0; })},
                      {"applicable", placed.size()},
                      {"faults", model::Json::array()}};
  if (!matrix.is_ours) {
    json["cells"] = {{"all", matrix.cells.all},
                     {"refused", matrix.cells.refused},
                     {"failing", matrix.cells.failing}};
  }
  for (const FaultRow& row : matrix.rows) {
    model::Json witnesses = model::Json::object();
    for (std::size_t i = 0; i < kWitnessCount; ++i) {
      if (row.seen[i] != 0) {
        witnesses[std::string(name(static_cast<Witness>(i)))] = {{"cells", row.seen[i]},
                                                                 {"alone", row.alone[i]}};
      }
    }
    json["faults"].push_back({{"name", row.fault->name},
                              {"part", name(row.fault->part)},
                              {"what", row.fault->what},
                              {"source", row.fault->source},
                              {"cells", row.cells},
                              {"caught", row.caught},
                              {"witnesses", std::move(witnesses)},
                              {"first", row.first},
                              {"finding", row.finding},
                              {"not_applicable", row.not_applicable}});
  }
  return json;
}

}  // namespace farcall::coverage
