// The same picture as layout_text() for browsers. Everything is in pixels.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>

#include "show/layout.hpp"

namespace farcall::show {
namespace {

constexpr int kRow = 24;  // height of a function
constexpr int kGap = 18;  // between two functions, for the distance
constexpr int kTop = 66;  // below the title
constexpr int kMargin = 16;
constexpr int kRegionWidth = 104;
constexpr int kAddressWidth = 142;
constexpr int kLane = 16;
constexpr int kTableRow = 18;
constexpr double kCharacter = 7.3;  // width of a character of the functions' names

// Colours of callers, one after the other: dark enough for lines on white.
constexpr std::array kColours = {"#1f5fbf", "#c0392b", "#1e8449", "#8e44ad",
                                 "#b9770e", "#117a8b", "#a0306f", "#4d5656"};
// Backgrounds of regions, in turn.
constexpr std::array kShades = {"#eef3f8", "#f7f2e8"};

std::string escaped(std::string_view text) {
  std::string result;
  for (const char character : text) {
    switch (character) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      default:
        result += character;
    }
  }
  return result;
}

class Picture {
 public:
  explicit Picture(const Layout& layout) : layout_(layout) {
    std::size_t longest = 8;
    for (const LayoutFunction& row : layout.rows) {
      longest = std::max(longest, row.name.size() + fmt::formatted_size("{} B", row.bytes) + 3);
    }
    box_width_ = static_cast<int>(static_cast<double>(longest) * kCharacter) + 16;
    const int lanes = static_cast<int>(layout.lanes) * kLane;
    width_ = box_right() + 30 + lanes + kMargin;
    // The table below, and the title, want some room as well.
    width_ = std::max(width_, 640);
    table_top_ = kTop + (static_cast<int>(layout.rows.size()) * (kRow + kGap)) + 20;
    table_columns_ = std::max(1, width_ / column_width());
    const int arrows = static_cast<int>(layout.arrows.size());
    table_rows_ = (arrows + table_columns_ - 1) / table_columns_;
    height_ = table_top_ + (table_rows_ * kTableRow) + kMargin;
  }

  std::string draw() {
    add(R"(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0} {1}" width="{0}" height="{1}" )"
        R"(font-family="sans-serif" font-size="13">)"
        "\n",
        width_, height_);
    add(R"(<rect width="100%" height="100%" fill="white"/>)"
        "\n");
    add_heads();
    add(R"(<text x="{}" y="26" font-size="15" font-weight="bold">{}</text>)"
        "\n",
        kMargin, escaped(layout_.title));
    const bool all_by_name = std::ranges::all_of(
        layout_.arrows, [](const LayoutArrow& arrow) { return arrow.kind == ArrowKind::call; });
    add(R"(<text x="{}" y="44" fill="#555">not to scale; each arrow is a call by {}{}</text>)"
        "\n",
        kMargin, layout_.reach, all_by_name ? "" : "; broken: a tail call, or through a register");
    add_regions();
    add_functions();
    for (std::size_t i = 0; i < layout_.arrows.size(); ++i) {
      add_arrow(layout_.arrows[i], i + 1);
    }
    add_table();
    add("</svg>\n");
    return std::move(text_);
  }

 private:
  template <typename... Arguments>
  void add(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
    text_ += fmt::format(format, std::forward<Arguments>(arguments)...);
  }

  static int box_left() { return kMargin + kRegionWidth + kAddressWidth; }
  int box_right() const { return box_left() + box_width_; }
  static int top_of(std::size_t row) { return kTop + (static_cast<int>(row) * (kRow + kGap)); }
  static int middle_of(std::size_t row) { return top_of(row) + (kRow / 2); }
  int column_width() const {
    std::size_t longest = 0;
    for (const LayoutArrow& arrow : layout_.arrows) {
      longest = std::max(longest, entry(arrow, 100).size());
    }
    return static_cast<int>(static_cast<double>(longest) * kCharacter) + 24;
  }
  static const char* colour_of(const LayoutArrow& arrow) {
    return kColours[arrow.from % kColours.size()];
  }

  std::string entry(const LayoutArrow& arrow, std::size_t number) const {
    return fmt::format("{}  {} → {}  {}{}{}", number, layout_.rows[arrow.from].name,
                       layout_.rows[arrow.to].name, to_string(arrow.distance),
                       arrow.kind == ArrowKind::call ? "" : ' ' + way_of(layout_, arrow),
                       arrow.sites == 1 ? "" : fmt::format(", {} sites", arrow.sites));
  }

  void add_heads() {
    add("<defs>\n");
    for (std::size_t i = 0; i < kColours.size(); ++i) {
      add(R"(<marker id="head{}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" )"
          R"(markerHeight="7" orient="auto"><path d="M0,0 L10,5 L0,10 z" fill="{}"/></marker>)"
          "\n",
          i, kColours[i]);
    }
    add("</defs>\n");
  }

  void add_regions() {
    const std::vector<LayoutFunction>& rows = layout_.rows;
    std::size_t shade = 0;
    for (std::size_t first = 0; first < rows.size();) {
      std::size_t end = first + 1;
      while (end < rows.size() && rows[end].region == rows[first].region) {
        ++end;
      }
      const int top = top_of(first) - (kGap / 2);
      add(R"(<rect x="{}" y="{}" width="{}" height="{}" fill="{}"/>)"
          "\n",
          kMargin, top, box_right() + 8 - kMargin, top_of(end) - (kGap / 2) - top,
          kShades[shade++ % kShades.size()]);
      add(R"(<text x="{}" y="{}" font-weight="bold" fill="#445">{}</text>)"
          "\n",
          kMargin + 8, middle_of(first) + 5, rows[first].region);
      first = end;
    }
  }

  void add_functions() {
    for (std::size_t i = 0; i < layout_.rows.size(); ++i) {
      const LayoutFunction& row = layout_.rows[i];
      add(R"(<text x="{}" y="{}" font-family="monospace" font-size="12" fill="#333">{}</text>)"
          "\n",
          kMargin + kRegionWidth, middle_of(i) + 4, to_string(row.address));
      add(R"(<rect x="{}" y="{}" width="{}" height="{}" rx="3" fill="white" stroke="#667"/>)"
          "\n",
          box_left(), top_of(i), box_width_, kRow);
      add(R"(<text x="{}" y="{}" font-family="monospace" font-size="12">{}</text>)"
          "\n",
          box_left() + 8, middle_of(i) + 4, escaped(row.name));
      add(R"(<text x="{}" y="{}" font-size="11" fill="#667" text-anchor="end">{} B</text>)"
          "\n",
          box_right() - 8, middle_of(i) + 4, row.bytes);
      if (i + 1 < layout_.rows.size()) {
        add(R"(<text x="{}" y="{}" font-size="11" fill="#888">⋮ {}</text>)"
            "\n",
            kMargin + kRegionWidth + 16, top_of(i) + kRow + kGap - 5, gap_after(layout_, i));
      }
    }
  }

  void add_arrow(const LayoutArrow& arrow, std::size_t number) {
    const char* const colour = colour_of(arrow);
    const std::size_t head = arrow.from % kColours.size();
    const int left = box_right();
    const char* const dashes = arrow.kind == ArrowKind::call ? "" : R"( stroke-dasharray="5 3")";
    add(R"(<g><title>{}</title>)", escaped(entry(arrow, number)));
    int label_x = left + 22;
    int label_y = middle_of(arrow.from);
    if (arrow.is_recursion()) {
      const int middle = middle_of(arrow.from);
      add(R"(<path d="M{0},{1} c16,-2 16,14 2,10" fill="none" stroke="{2}" stroke-width="1.5"{4} )"
          R"svg(marker-end="url(#head{3})"/>)svg",
          left, middle - 6, colour, head, dashes);
    } else {
      // Arrows leave a little above the middle and arrive a little below it.
      const int from = middle_of(arrow.from) - 4;
      const int to = middle_of(arrow.to) + 4;
      const int lane = left + 30 + (static_cast<int>(arrow.lane) * kLane);
      const int turn = to > from ? 6 : -6;
      add(R"(<path d="M{0},{1} H{2} Q{3},{1} {3},{4} V{5} Q{3},{6} {2},{6} H{0}" fill="none" )"
          R"svg(stroke="{7}" stroke-width="1.5"{9} marker-end="url(#head{8})"/>)svg",
          left, from, lane - 6, lane, from + turn, to - turn, to, colour, head, dashes);
      label_x = lane;
      label_y = (from + to) / 2;
    }
    add(R"(<text x="{0}" y="{1}" font-size="10" text-anchor="middle" fill="{2}" stroke="white" )"
        R"(stroke-width="3" paint-order="stroke">{3}</text></g>)"
        "\n",
        label_x, label_y + 3, colour, number);
  }

  void add_table() {
    for (std::size_t i = 0; i < layout_.arrows.size(); ++i) {
      const int index = static_cast<int>(i);
      add(R"(<text x="{}" y="{}" font-size="12" fill="{}" xml:space="preserve">{}</text>)"
          "\n",
          kMargin + ((index / table_rows_) * column_width()),
          table_top_ + ((index % table_rows_) * kTableRow) + 10, colour_of(layout_.arrows[i]),
          escaped(entry(layout_.arrows[i], i + 1)));
    }
  }

  const Layout& layout_;
  int box_width_ = 0;
  int width_ = 0;
  int height_ = 0;
  int table_top_ = 0;
  int table_columns_ = 1;
  int table_rows_ = 0;
  std::string text_;
};

}  // namespace

std::string layout_svg(const Layout& layout) {
  return Picture(layout).draw();
}

}  // namespace farcall::show
