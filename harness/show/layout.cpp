#include "show/layout.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>
#include <tuple>
#include <utility>

#include "model/region.hpp"

namespace farcall::show {
namespace {

// Gives each arrow a lane, the nearest that is free along all its rows, short arrows first.
std::size_t assign_lanes(std::vector<LayoutArrow>& arrows) {
  std::vector<LayoutArrow*> by_length;
  for (LayoutArrow& arrow : arrows) {
    if (!arrow.is_recursion()) {
      by_length.push_back(&arrow);
    }
  }
  const auto rows_of = [](const LayoutArrow* arrow) { return std::minmax(arrow->from, arrow->to); };
  std::ranges::stable_sort(by_length, {}, [&](const LayoutArrow* arrow) {
    return rows_of(arrow).second - rows_of(arrow).first;
  });
  std::vector<std::vector<const LayoutArrow*>> lanes;
  for (LayoutArrow* const arrow : by_length) {
    const auto [first, last] = rows_of(arrow);
    const auto overlaps = [&, begin = first, end = last](const LayoutArrow* other) {
      const auto [other_first, other_last] = rows_of(other);
      return begin <= other_last && other_first <= end;
    };
    const auto free = std::ranges::find_if(
        lanes, [&](const auto& lane) { return std::ranges::none_of(lane, overlaps); });
    arrow->lane = static_cast<std::size_t>(free - lanes.begin());
    if (free == lanes.end()) {
      lanes.emplace_back();
    }
    lanes[arrow->lane].push_back(arrow);
  }
  return lanes.size();
}

// A drawing of characters: each cell is the set of directions in which lines leave it, or a head.
class Grid {
 public:
  enum Direction : std::uint8_t { up = 1, down = 2, left = 4, right = 8 };

  Grid(std::size_t rows, std::size_t columns) : columns_(columns), cells_(rows * columns) {}

  void add(std::size_t row, std::size_t column, unsigned directions) {
    std::uint8_t& cell = cells_[row * columns_ + column];
    cell = static_cast<std::uint8_t>(cell | directions);
  }
  void head(std::size_t row, std::size_t column) { cells_[row * columns_ + column] = kHead; }

  // Without the blanks at its end.
  std::string row(std::size_t row) const {
    std::string text;
    std::string blanks;
    for (std::size_t column = 0; column < columns_; ++column) {
      const std::uint8_t cell = cells_[row * columns_ + column];
      if (cell == 0) {
        blanks += ' ';
      } else {
        text += std::exchange(blanks, "");
        text += kBoxes[cell];
      }
    }
    return text;
  }

 private:
  static constexpr std::uint8_t kHead = 16;
  // By the set of directions.
  static constexpr std::array<std::string_view, 17> kBoxes = {
      " ", "│", "│", "│", "─", "┘", "┐", "┤", "─", "└", "┌", "├", "─", "┴", "┬", "┼", "◄"};

  std::size_t columns_;
  std::vector<std::uint8_t> cells_;
};

// Lines of text: one for each function, and one below it for the distance to the next.
std::size_t line_of(std::size_t row) {
  return 2 * row;
}

void draw(const LayoutArrow& arrow, Grid& grid) {
  const std::size_t column = (2 * arrow.lane) + 2;
  for (const std::size_t row : {arrow.from, arrow.to}) {
    for (std::size_t i = 0; i < column; ++i) {
      grid.add(line_of(row), i, Grid::left | Grid::right);
    }
    const bool is_upper = row == std::min(arrow.from, arrow.to);
    grid.add(line_of(row), column, Grid::left | (is_upper ? Grid::down : Grid::up));
  }
  for (std::size_t line = line_of(std::min(arrow.from, arrow.to)) + 1;
       line < line_of(std::max(arrow.from, arrow.to)); ++line) {
    grid.add(line, column, Grid::up | Grid::down);
  }
}

std::size_t longest(const std::vector<LayoutFunction>& rows, auto text_of) {
  std::size_t length = 0;
  for (const LayoutFunction& row : rows) {
    length = std::max(length, text_of(row).size());
  }
  return length;
}

std::string count(std::size_t number, std::string_view noun) {
  return fmt::format("{} {}{}", number, noun, number == 1 ? "" : "s");
}

}  // namespace

Layout layout(std::string title, const model::AxisValues& axes, const model::CodeImage& image,
              std::span<const bpf::PseudoCall> made) {
  Layout result{.title = std::move(title), .reach = value_name(axes, model::Axis::reach)};
  std::vector<std::size_t> order(image.functions.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, {}, [&](std::size_t i) { return image.functions[i].address; });
  std::vector<std::size_t> row_of(order.size());
  for (const std::size_t i : order) {
    const model::CodeFunction& function = image.functions[i];
    row_of[i] = result.rows.size();
    result.rows.push_back({.name = function.name,
                           .region = model::region_of(axes.mmu, function.address).name,
                           .address = function.address,
                           .bytes = function.words.size() * 4});
  }
  std::map<std::tuple<std::size_t, std::size_t, ArrowKind>, LayoutArrow> arrows;
  const auto add = [&](ArrowKind kind, const model::CodeCall& call,
                       const model::CodeCallee& callee) {
    const std::size_t from = row_of[call.site.function];
    const std::size_t to = row_of[callee.function];
    LayoutArrow& arrow =
        arrows
            .try_emplace(
                {from, to, kind},
                LayoutArrow{
                    .kind = kind, .from = from, .to = to, .distance = callee.target - call.at})
            .first->second;
    ++arrow.sites;
  };
  for (const model::CodeCall& call : image.calls) {
    if (call.callee) {
      add(call.is_tail ? ArrowKind::tail_call : ArrowKind::call, call, *call.callee);
      continue;
    }
    std::set<std::uint32_t> callees;
    for (const bpf::PseudoCall& one : made) {
      if (one.site == call.site && one.callee < image.functions.size() &&
          callees.insert(one.callee).second) {
        add(call.is_tail ? ArrowKind::tail_call : ArrowKind::register_call, call,
            {.function = one.callee, .target = image.functions[one.callee].code()});
      }
    }
  }
  for (const auto& [ends, arrow] : arrows) {
    result.arrows.push_back(arrow);
  }
  result.lanes = assign_lanes(result.arrows);
  return result;
}

std::string way_of(const Layout& layout, const LayoutArrow& arrow) {
  switch (arrow.kind) {
    case ArrowKind::call:
      return fmt::format("by {}", layout.reach);
    case ArrowKind::register_call:
      return "through a register";
    case ArrowKind::tail_call:
      return "by a tail call";
  }
  return {};
}

std::string gap_after(const Layout& layout, std::size_t row) {
  const LayoutFunction& function = layout.rows[row];
  const Displacement gap = layout.rows[row + 1].address - (function.address + function.bytes);
  constexpr auto kExbibyte = static_cast<double>(1ULL << 60);
  return bytes(gap) >= 0
             ? to_string(gap).substr(1)
             : fmt::format("{:.1f} EiB",
                           static_cast<double>(static_cast<std::uint64_t>(gap)) / kExbibyte);
}

std::string layout_text(const Layout& layout) {
  const std::vector<LayoutFunction>& rows = layout.rows;
  Grid grid((2 * rows.size()), (2 * layout.lanes) + 3);
  for (const LayoutArrow& arrow : layout.arrows) {
    if (!arrow.is_recursion()) {
      draw(arrow, grid);
    }
  }
  for (const LayoutArrow& arrow : layout.arrows) {  // over the lines of all others
    if (!arrow.is_recursion()) {
      grid.head(line_of(arrow.to), (2 * arrow.lane) + 1);
    }
  }

  const std::size_t region_width = longest(rows, [](const auto& row) { return row.region; });
  const std::size_t name_width =
      longest(rows, [](const auto& row) { return std::string_view(row.name); });
  std::string text =
      fmt::format("{}: {}, {}, reach {}\n\n", layout.title, count(rows.size(), "function"),
                  count(layout.arrows.size(), "arrow"), layout.reach);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const LayoutFunction& row = rows[i];
    const bool is_first = i == 0 || rows[i - 1].region != row.region;
    text +=
        fmt::format("{:<{}}  {}  {:<{}} {:>7} B {}\n", is_first ? row.region : "", region_width,
                    to_string(row.address), row.name, name_width, row.bytes, grid.row(line_of(i)));
    if (i + 1 < rows.size()) {
      text += fmt::format("{:<{}}  {:<16}  {:<{}} {:>9} {}\n", "", region_width,
                          fmt::format("  ⋮ {}", gap_after(layout, i)), "", name_width, "",
                          grid.row(line_of(i) + 1));
    }
  }
  text += fmt::format("\n");
  for (const LayoutArrow& arrow : layout.arrows) {
    text += fmt::format("{:<{}}  → {:<{}}  {:>10} {}{}\n", rows[arrow.from].name, name_width,
                        rows[arrow.to].name, name_width, to_string(arrow.distance),
                        way_of(layout, arrow),
                        arrow.sites == 1 ? "" : fmt::format(", {} call sites", arrow.sites));
  }
  return text;
}

// In the order of ArrowKind.
constexpr std::array<std::string_view, 3> kKindNames = {"call", "register call", "tail call"};

model::Json layout_json(const Layout& layout) {
  model::Json functions = model::Json::array();
  for (const LayoutFunction& row : layout.rows) {
    functions.push_back({{"name", row.name},
                         {"region", row.region},
                         {"address", fmt::format("{:#x}", row.address.value)},
                         {"bytes", row.bytes}});
  }
  model::Json arrows = model::Json::array();
  for (const LayoutArrow& arrow : layout.arrows) {
    arrows.push_back({{"from", layout.rows[arrow.from].name},
                      {"to", layout.rows[arrow.to].name},
                      {"kind", kKindNames[static_cast<std::size_t>(arrow.kind)]},
                      {"call_sites", arrow.sites},
                      {"distance", bytes(arrow.distance)}});
  }
  return {{"reach", layout.reach}, {"functions", functions}, {"arrows", arrows}};
}

}  // namespace farcall::show
