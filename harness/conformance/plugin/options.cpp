#include "conformance/plugin/options.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace farcall::conformance {
namespace {

Error bad(std::string message) {
  return {.code = ErrorCode::usage_bad_argument, .message = std::move(message)};
}

Result<void> set_axis(model::AxisValues& axes, model::Axis axis, std::string_view option,
                      std::string_view value) {
  const auto names = model::value_names(axis);
  const auto found = std::ranges::find(names, value);
  if (found == names.end()) {
    return bad(fmt::format("{} '{}': expected {}", option, value, fmt::join(names, " or ")));
  }
  set_value(axes, axis, static_cast<std::size_t>(found - names.begin()));
  return success();
}

}  // namespace

Result<Options> parse_options(std::span<const std::string_view> arguments) {
  Options options;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string_view option = arguments[i];
    const std::string_view value = i + 1 < arguments.size() ? arguments[i + 1] : "";
    if (option.empty()) {
      continue;
    }
    if (option == "--jit") {
      options.jit = true;
    } else if (option == "--interpreter" || option == "--interpret") {
      options.jit = false;
    } else if (option == "--elf") {
      options.elf = true;
    } else if (option == "--debug") {
      // Errors say all they know anyway.
    } else if (option == "--endian" || option == "--cpu") {
      const model::Axis axis = option == "--cpu" ? model::Axis::cpu : model::Axis::endian;
      FARCALL_TRYV(set_axis(options.target.axes, axis, option, value));
      ++i;
    } else if (option == "--placement") {
      if (value != "near" && value != "far") {
        return bad(fmt::format("--placement '{}': expected near or far", value));
      }
      options.target.far = value == "far";
      ++i;
    } else {
      return bad(
          fmt::format("there is no option '{}': expected --jit, --interpreter (or --interpret), "
                      "--endian, --cpu, --placement, --elf or --debug",
                      option));
    }
  }
  set_cpu(options.target.axes, options.target.axes.cpu);
  return options;
}

}  // namespace farcall::conformance
