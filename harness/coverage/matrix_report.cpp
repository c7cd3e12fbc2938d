#include <fmt/format.h>

#include <algorithm>
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

}  // namespace

std::string matrix_text(const FaultMatrix& matrix) {
  const std::size_t wide = widest_name(matrix);
  std::string text = fmt::format("{:{}}  {:>11}", "", wide, "caught");
  for (std::size_t i = 0; i < kWitnessCount; ++i) {
    text += fmt::format("  {}", name(static_cast<Witness>(i)));
  }
  text += "  first\n";
  for (const FaultRow& row : matrix.rows) {
    text += fmt::format("{:{}}  {:>11}", row.fault->name, wide,
                        fmt::format("{} of {}", row.caught, row.cells));
    for (std::size_t i = 0; i < kWitnessCount; ++i) {
      text += fmt::format("  {:>{}}", mark(row, i), name(static_cast<Witness>(i)).size());
    }
    text += fmt::format("  {}\n", row.first.substr(row.first.find('@') + 1));
  }
  const auto caught =
      std::ranges::count_if(matrix.rows, [](const auto& row) { return row.caught != 0; });
  text += fmt::format("\n{} faults, {} caught\n", matrix.rows.size(), caught);
  return text + problems(matrix);
}

std::string matrix_markdown(const FaultMatrix& matrix) {
  std::string text = "| fault | in the | what is wrong | source |";
  std::string line = "|---|---|---|---|";
  for (std::size_t i = 0; i < kWitnessCount; ++i) {
    text += fmt::format(" {} |", name(static_cast<Witness>(i)));
    line += ":-:|";
  }
  text += "\n" + line + "\n";
  for (const FaultRow& row : matrix.rows) {
    text += fmt::format("| `{}` | {} | {} | {} |", row.fault->name, name(row.fault->part),
                        row.fault->what, row.fault->source);
    for (std::size_t i = 0; i < kWitnessCount; ++i) {
      const bool alone = row.only() == static_cast<Witness>(i);
      text += row.seen[i] == 0 ? "  |" : alone ? " **●** |" : " ✓ |";
    }
    text += "\n";
  }
  return text + (matrix.good() ? "" : "\n" + problems(matrix));
}

model::Json matrix_json(const FaultMatrix& matrix) {
  model::Json json = {{"faults", model::Json::array()}};
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
                              {"finding", row.finding}});
  }
  return json;
}

}  // namespace farcall::coverage
