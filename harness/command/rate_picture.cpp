#include "command/rate_picture.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

namespace farcall::command {
namespace {

// In pixels.
constexpr int kPanelWidth = 300;
constexpr int kPanelGap = 36;
constexpr int kPlotHeight = 180;
constexpr int kTop = 92;     // above the plots: titles
constexpr int kBottom = 34;  // below them: what is varied
constexpr int kMargin = 24;
constexpr int kInset = 54;  // from a panel's side to its first and its last point

// The end of the scale: 1, 2 or 5 times a power of ten, at least `most`.
double scale_for(double most) {
  const double power = std::pow(10, std::floor(std::log10(std::max(most, 1.0))));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= most) {
      return factor * power;
    }
  }
  return 10 * power;
}

double most_of(std::span<const RateCurve> curves) {
  double most = 0;
  for (const RateCurve& curve : curves) {
    for (const RatePoint& point : curve.points) {
      most = std::max(most, point.programs_per_second);
    }
  }
  return most;
}

// A panel, its left side at `left`.
void add_panel(std::string& svg, const RateCurve& curve, int left, double scale) {
  constexpr int kBase = kTop + kPlotHeight;
  svg += fmt::format("<text x=\"{}\" y=\"{}\" font-weight=\"bold\">{}</text>\n", left, kTop - 16,
                     curve.title);
  for (const double part : {0.0, 0.5, 1.0}) {
    const double y = kBase - (part * kPlotHeight);
    svg += fmt::format(
        "<line x1=\"{}\" y1=\"{:.1f}\" x2=\"{}\" y2=\"{:.1f}\" stroke=\"#ddd\"/>\n"
        "<text x=\"{}\" y=\"{:.1f}\" fill=\"#555\" font-size=\"11\">{:.0f}</text>\n",
        left, y, left + kPanelWidth, y, left + 2, y - 3, part * scale);
  }
  const auto steps = static_cast<double>(std::max<std::size_t>(curve.points.size() - 1, 1));
  std::string line;
  std::string marks;
  for (std::size_t i = 0; i < curve.points.size(); ++i) {
    const RatePoint& point = curve.points[i];
    const double x =
        left + kInset +
        (static_cast<double>(i) / steps * static_cast<double>(kPanelWidth - 2 * kInset));
    const double y = kBase - (point.programs_per_second / scale * kPlotHeight);
    line += fmt::format("{:.1f},{:.1f} ", x, y);
    marks += fmt::format(
        "<circle cx=\"{0:.1f}\" cy=\"{1:.1f}\" r=\"4\" fill=\"#1f5fbf\"/>\n"
        "<text x=\"{0:.1f}\" y=\"{2:.1f}\" text-anchor=\"middle\">{3:.0f}</text>\n"
        "<text x=\"{0:.1f}\" y=\"{4}\" text-anchor=\"middle\" fill=\"#555\">{5}</text>\n",
        x, y, y - 9, point.programs_per_second, kBase + 18, point.at);
  }
  svg += fmt::format(
      "<polyline points=\"{}\" fill=\"none\" stroke=\"#1f5fbf\" stroke-width=\"2\"/>\n{}", line,
      marks);
}

}  // namespace

std::string rate_svg(std::span<const RateCurve> curves, const std::string& subtitle) {
  const auto panels = static_cast<int>(curves.size());
  const int width = 2 * kMargin + panels * kPanelWidth + (panels - 1) * kPanelGap;
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" "
      "height=\"{1}\" role=\"img\" aria-label=\"fresh programs a second\" "
      "font-family=\"sans-serif\" font-size=\"13\">\n"
      "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
      "<text x=\"{2}\" y=\"28\" font-size=\"15\" font-weight=\"bold\">fresh programs a "
      "second</text>\n"
      "<text x=\"{2}\" y=\"48\" fill=\"#555\">{3}</text>\n",
      width, kTop + kPlotHeight + kBottom, kMargin, subtitle);
  const double scale = scale_for(most_of(curves));
  int left = kMargin;
  for (const RateCurve& curve : curves) {
    add_panel(svg, curve, left, scale);
    left += kPanelWidth + kPanelGap;
  }
  return svg + "</svg>\n";
}

std::string rate_page(std::span<const RateCurve> curves, const std::string& subtitle) {
  std::string rows;
  for (const RateCurve& curve : curves) {
    for (const RatePoint& point : curve.points) {
      rows += fmt::format("<tr><td>{}<td>{}<td>{:.0f}\n", curve.title, point.at,
                          point.programs_per_second);
    }
  }
  return fmt::format(
      "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width\">\n<title>farcall bench</title>\n"
      "<style>\nbody {{ font-family: sans-serif; margin: 1rem }}\n"
      ".picture {{ overflow-x: auto }}\ntable {{ border-collapse: collapse; margin-top: 1rem }}\n"
      "td, th {{ border: 1px solid #ccc; padding: 0.2rem 0.6rem; text-align: left }}\n"
      "td + td {{ text-align: right }}\n</style>\n<div class=\"picture\">\n{}</div>\n"
      "<table>\n<tr><th>varied<th>value<th>programs a second\n{}</table>\n</html>\n",
      rate_svg(curves, subtitle), rows);
}

}  // namespace farcall::command
