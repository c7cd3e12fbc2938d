// How many fresh programs a second ran, as a picture for browsers.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace farcall::command {

// One measurement: `at` is what was varied.
struct RatePoint {
  std::size_t at = 0;
  double programs_per_second = 0;
};

// What one thing does to the rate while the others stay as they are. There is a point at least, and
// they ascend.
struct RateCurve {
  std::string title;  // `machines at the same time (--jobs)`
  std::vector<RatePoint> points;
};

// An SVG document: a panel for each curve, all of one scale, which begins at zero. From left to
// right each step has the same width, as steps are factors. `subtitle` says what was held, and where.
std::string rate_svg(std::span<const RateCurve> curves, const std::string& subtitle);

// A page that holds the picture, and the figures as a table. Needs nothing else.
std::string rate_page(std::span<const RateCurve> curves, const std::string& subtitle);

}  // namespace farcall::command
