#include "case/wanted.hpp"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <utility>

namespace farcall::cases {
namespace {

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

}  // namespace

Result<std::vector<AxisCondition>> read_conditions(std::span<const std::string> texts) {
  std::vector<AxisCondition> conditions;
  for (const std::string& text : texts) {
    FARCALL_TRY(condition, read_condition(text));
    conditions.push_back(std::move(condition));
  }
  return conditions;
}

bool all_hold(std::span<const AxisCondition> conditions, const model::AxisValues& axes) {
  return std::ranges::all_of(conditions, [&axes](const AxisCondition& condition) {
    return std::ranges::find(condition.values, value_of(axes, condition.axis)) !=
           condition.values.end();
  });
}

bool matches(const std::string& filter, const std::string& name) {
  return filter.empty() || fnmatch(filter.c_str(), name.c_str(), 0) == 0;
}

bool may_match(std::string_view filter, std::string_view name) {
  const std::string_view literal = filter.substr(0, filter.find_first_of("*?[\\"));
  const std::string with_at = fmt::format("{}@", name);
  const std::size_t both = std::min(literal.size(), with_at.size());
  return literal.substr(0, both) == std::string_view(with_at).substr(0, both);
}

}  // namespace farcall::cases
