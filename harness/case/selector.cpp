#include "case/selector.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "case/hardware.hpp"

namespace farcall::cases {
namespace {

using model::Axis;

constexpr std::string_view kPlaceAxis = "place";

// Names of axes, in the order of the enum.
std::string axis_names() {
  std::string text;
  for (std::size_t i = 0; i < model::kAxisCount; ++i) {
    text += fmt::format("{}{}", i == 0 ? "" : ", ", name(static_cast<Axis>(i)));
  }
  return text;
}

std::string values_of(Axis axis, ValueSet set) {
  std::string text;
  for (std::size_t value = 0; value < model::value_names(axis).size(); ++value) {
    if ((static_cast<unsigned>(set) >> value & 1U) != 0) {
      text += fmt::format("{}{}", text.empty() ? "" : ", ", model::value_names(axis)[value]);
    }
  }
  return text;
}

Result<void> add_axis_value(Selector& selector, Axis axis, Word word, const SelectorScope& scope) {
  FARCALL_TRY(value, parse_axis_value(axis, word));
  const auto i = static_cast<std::size_t>(axis);
  const auto bit = static_cast<ValueSet>(1U << value);
  if ((scope.axes[i] & bit) == 0) {
    return error_at(word.where, ErrorCode::case_selects_nothing,
                    fmt::format("no cell of this case has {}={}", name(axis), word.text),
                    fmt::format("{} is {}", name(axis), values_of(axis, scope.axes[i])));
  }
  if ((selector.axes[i] & bit) != 0) {
    return error_at(word.where, ErrorCode::case_syntax,
                    fmt::format("{} is there twice", word.text));
  }
  selector.axes[i] = static_cast<ValueSet>(selector.axes[i] | bit);
  return success();
}

Result<void> add_placement(Selector& selector, Word word, const SelectorScope& scope) {
  const auto found = std::ranges::find(scope.placements, word.text);
  if (found == scope.placements.end()) {
    return error_at(word.where, ErrorCode::case_unknown_name,
                    fmt::format("no placement is called '{}'", word.text),
                    scope.placements.empty()
                        ? "this case has no named '-- place NAME' section"
                        : fmt::format("placements: {}", fmt::join(scope.placements, ", ")));
  }
  const auto number = static_cast<std::uint32_t>(found - scope.placements.begin());
  const auto place = std::ranges::lower_bound(selector.placements, number);
  if (place != selector.placements.end() && *place == number) {
    return error_at(word.where, ErrorCode::case_syntax,
                    fmt::format("{} is there twice", word.text));
  }
  selector.placements.insert(place, number);
  return success();
}

}  // namespace

bool selects(const Selector& selector, const model::AxisValues& values,
             std::optional<std::uint32_t> placement) {
  for (std::size_t i = 0; i < model::kAxisCount; ++i) {
    const ValueSet set = selector.axes[i];
    if (set != 0 && (set >> value_of(values, static_cast<Axis>(i)) & 1U) == 0) {
      return false;
    }
  }
  return selector.placements.empty() ||
         (placement && std::ranges::binary_search(selector.placements, *placement));
}

Result<std::optional<Axis>> parse_axis(Word word) {
  if (word.text == kPlaceAxis) {
    return std::optional<Axis>{};
  }
  if (const auto axis = model::axis_named(word.text)) {
    return axis;
  }
  return error_at(word.where, ErrorCode::case_unknown_axis,
                  fmt::format("there is no axis '{}'", word.text),
                  fmt::format("axes: {}; selectors also know {}", axis_names(), kPlaceAxis));
}

Result<std::size_t> parse_axis_value(Axis axis, Word word) {
  const auto names = model::value_names(axis);
  const auto found = std::ranges::find(names, word.text);
  if (found == names.end()) {
    return error_at(word.where, ErrorCode::case_unknown_value,
                    fmt::format("{} is never '{}'", name(axis), word.text),
                    fmt::format("values: {}", list(names)));
  }
  const auto value = static_cast<std::size_t>(found - names.begin());
  if (!is_supported(axis, value)) {
    return error_at(word.where, ErrorCode::case_unsupported,
                    fmt::format("{} {} is not supported yet", name(axis), word.text),
                    fmt::format("supported now: {}", supported_values(axis)));
  }
  return value;
}

Result<Selector> parse_selector(Cursor& cursor, const SelectorScope& scope) {
  Selector selector;
  while (!cursor.at_end()) {
    const Word word = cursor.word();
    const std::size_t equals = word.text.find('=');
    if (equals == std::string_view::npos || equals == 0) {
      return error_at(word.where, ErrorCode::case_syntax,
                      fmt::format("expected AXIS=VALUE[,VALUE...], not '{}'", word.text));
    }
    FARCALL_TRY(axis, parse_axis({.text = word.text.substr(0, equals), .where = word.where}));
    if (axis ? selector.axes[static_cast<std::size_t>(*axis)] != 0 : !selector.placements.empty()) {
      return error_at(word.where, ErrorCode::case_syntax,
                      fmt::format("{} is there twice", word.text.substr(0, equals)));
    }
    for (std::size_t begin = equals + 1; begin <= word.text.size();) {
      const std::size_t end = std::min(word.text.find(',', begin), word.text.size());
      const Word value = {
          .text = word.text.substr(begin, end - begin),
          .where = {word.where.line, word.where.column + static_cast<unsigned>(begin)}};
      if (value.text.empty()) {
        return error_at(value.where, ErrorCode::case_syntax, "expected a value");
      }
      if (axis) {
        FARCALL_TRYV(add_axis_value(selector, *axis, value, scope));
      } else {
        FARCALL_TRYV(add_placement(selector, value, scope));
      }
      begin = end + 1;
    }
  }
  return selector;
}

}  // namespace farcall::cases
