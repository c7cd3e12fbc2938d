#include "command/distance_picture.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <iterator>
#include <tuple>
#include <utility>

namespace farcall::command {
namespace {

// In pixels.
constexpr int kNameWidth = 330;  // left of the plot: what a line is of
constexpr int kHalfWidth = 360;  // of the plot, from __bpf_call_base to either side
constexpr int kLineHeight = 22;
constexpr int kHeadHeight = 96;
constexpr int kEdgeWidth = 24;

// What a distance is cut off at: all below the first is at __bpf_call_base, all beyond the last at the
// end.
constexpr double kFirstBit = 20;  // 1 MiB
constexpr double kLastBit = 61;

constexpr std::uint64_t kBytesOfMebibyte = std::uint64_t{1} << 20;

struct Mark {
  std::uint64_t bytes;
  const char* name;
};
constexpr std::array kMarks = {
    Mark{32 * kBytesOfMebibyte, "32 MiB"}, Mark{2048 * kBytesOfMebibyte, "2 GiB"},
    Mark{kBytesOfMebibyte << 20, "1 TiB"}, Mark{kBytesOfMebibyte << 30, "1 PiB"}};

std::int64_t signed_distance(GuestAddress to, GuestAddress from) {
  return bytes(to - from);
}

double x_of(std::int64_t distance) {
  const double size = std::abs(static_cast<double>(distance));
  const double bits = std::clamp(std::log2(std::max(size, 1.0)), kFirstBit, kLastBit);
  const double part = (bits - kFirstBit) / (kLastBit - kFirstBit) * kHalfWidth;
  return kNameWidth + kHalfWidth + (distance < 0 ? -part : part);
}

auto line_of(const DistanceRow& row) {
  return std::tie(row.architecture, row.kernel, row.setting, row.crowd_mebibytes, row.is_full);
}

}  // namespace

GuestAddress DistanceRow::farthest() const {
  return *std::ranges::max_element(functions, {}, [&](GuestAddress function) {
    return std::abs(signed_distance(function, call_base));
  });
}

std::optional<Displacement> DistanceRow::at_most() const {
  if (!area) {
    return std::nullopt;
  }
  const Displacement low = area->first - call_base;
  const Displacement high = area->second - call_base;
  return std::abs(bytes(low)) < std::abs(bytes(high)) ? high : low;
}

bool DistanceRow::fit_32_bits() const {
  return std::ranges::all_of(functions, [&](GuestAddress function) {
    const std::int64_t distance = signed_distance(function, call_base);
    return distance == static_cast<std::int32_t>(distance);
  });
}

std::string distance_svg(std::span<const DistanceRow> rows) {
  // Boots of one line lie beside each other or not; a line is where its first one is.
  std::vector<const DistanceRow*> lines;
  const auto number_of = [&](const DistanceRow& row) {
    const auto found = std::ranges::find_if(
        lines, [&](const DistanceRow* line) { return line_of(*line) == line_of(row); });
    return found - lines.begin();
  };
  for (const DistanceRow& row : rows) {
    if (number_of(row) == std::ssize(lines)) {
      lines.push_back(&row);
    }
  }
  const int bottom = kHeadHeight + static_cast<int>(lines.size()) * kLineHeight;
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" "
      "height=\"{1}\" role=\"img\" aria-label=\"distances from __bpf_call_base\" "
      "font-family=\"sans-serif\" font-size=\"13\">\n"
      "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
      "<text x=\"{2}\" y=\"28\" font-size=\"15\" font-weight=\"bold\">How far from "
      "__bpf_call_base stock kernels put JITed functions</text>\n"
      "<text x=\"{2}\" y=\"48\" fill=\"#555\">points: functions of all boots; bars: where the JIT "
      "may put them; a signed 32-bit distance ends at 2 GiB; scale logarithmic</text>\n",
      kNameWidth + 2 * kHalfWidth + kEdgeWidth, bottom + kEdgeWidth, kEdgeWidth);
  const auto add_mark = [&](double x, const std::string& name, const char* colour) {
    svg += fmt::format(
        "<line x1=\"{0:.1f}\" y1=\"{1}\" x2=\"{0:.1f}\" y2=\"{2}\" stroke=\"{3}\"/>\n"
        "<text x=\"{0:.1f}\" y=\"{4}\" text-anchor=\"middle\" fill=\"#555\" "
        "font-size=\"11\">{5}</text>\n",
        x, kHeadHeight - 14, bottom, colour, kHeadHeight - 18, name);
  };
  add_mark(x_of(0), "0", "#888");
  for (const Mark& mark : kMarks) {
    const auto size = static_cast<std::int64_t>(mark.bytes);
    const char* const colour =
        size == 2048 * static_cast<std::int64_t>(kBytesOfMebibyte) ? "#c0392b" : "#ccc";
    add_mark(x_of(-size), fmt::format("-{}", mark.name), colour);
    add_mark(x_of(size), fmt::format("+{}", mark.name), colour);
  }
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const DistanceRow& line = *lines[i];
    const int y = kHeadHeight + static_cast<int>(i) * kLineHeight + kLineHeight / 2;
    std::string what = fmt::format("{} {}, {}", line.architecture, line.kernel, line.setting);
    if (!line.has_jit) {
      what += ": no JIT for BPF";
    } else if (line.crowd_mebibytes != 0) {
      what += fmt::format(", {} MiB taken{}", line.crowd_mebibytes, line.is_full ? " (full)" : "");
    }
    svg += fmt::format("<text x=\"{}\" y=\"{}\">{}</text>\n", kEdgeWidth, y + 4, what);
    for (const DistanceRow& row : rows) {
      if (number_of(row) == static_cast<std::ptrdiff_t>(i) && row.area) {
        const double left = x_of(signed_distance(row.area->first, row.call_base));
        const double right = x_of(signed_distance(row.area->second, row.call_base));
        svg += fmt::format(
            "<rect x=\"{:.1f}\" y=\"{}\" width=\"{:.1f}\" height=\"8\" "
            "fill=\"#dbe7f5\"/>\n",
            left, y - 4, std::max(right - left, 1.0));
      }
    }
    for (const DistanceRow& row : rows) {
      if (number_of(row) != static_cast<std::ptrdiff_t>(i)) {
        continue;
      }
      for (const GuestAddress function : row.functions) {
        svg += fmt::format(
            "<circle cx=\"{:.1f}\" cy=\"{}\" r=\"3.5\" fill=\"{}\" "
            "fill-opacity=\"0.6\"/>\n",
            x_of(signed_distance(function, row.call_base)), y,
            row.crowd_mebibytes == 0 ? "#1f5fbf" : "#b9770e");
      }
    }
  }
  return svg + "</svg>\n";
}

}  // namespace farcall::command
