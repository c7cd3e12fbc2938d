#include "model/axes.hpp"

#include <algorithm>

#include "model/schemes.hpp"

namespace farcall::model {
namespace {

using namespace std::string_view_literals;

constexpr std::array kAxisNames = {"endian"sv, "cpu"sv,   "mmu"sv,  "abi"sv,
                                   "call"sv,   "reach"sv, "guest"sv};
static_assert(kAxisNames.size() == kAxisCount);

constexpr std::array kEndianNames = {"le"sv, "be"sv};
constexpr std::array kCpuNames = {"power8"sv, "power9"sv, "power10"sv};
static_assert(kCpuNames.size() == kCpuCount);
constexpr std::array kMmuNames = {"hash"sv, "radix"sv};
constexpr std::array kAbiNames = {"elfv1"sv, "elfv2"sv};
constexpr std::array kCallNames = [] {
  std::array<std::string_view, kSchemes.size()> names;
  std::ranges::transform(kSchemes, names.begin(), &SchemeInfo::name);
  return names;
}();
constexpr std::array kReachNames = {"bl"sv, "toc"sv, "abs64"sv, "pcrel"sv};
static_assert(kReachNames.size() == kReachCount);
constexpr std::array kGuestNames = {"bare"sv, "linux"sv};

constexpr std::array<std::span<const std::string_view>, kAxisCount> kValueNames = {
    kEndianNames, kCpuNames, kMmuNames, kAbiNames, kCallNames, kReachNames, kGuestNames};

// Applies `use` to the field of `values` that belongs to `axis`.
template <typename Values, typename Use>
decltype(auto) with_field(Values& values, Axis axis, Use use) {
  switch (axis) {
    case Axis::endian:
      return use(values.endian);
    case Axis::cpu:
      return use(values.cpu);
    case Axis::mmu:
      return use(values.mmu);
    case Axis::abi:
      return use(values.abi);
    case Axis::call:
      return use(values.call);
    case Axis::reach:
      return use(values.reach);
    case Axis::guest:
      break;
  }
  return use(values.guest);
}

}  // namespace

std::string_view name(Axis axis) {
  return kAxisNames[static_cast<std::size_t>(axis)];
}

std::optional<Axis> axis_named(std::string_view text) {
  const auto* const found = std::ranges::find(kAxisNames, text);
  if (found == kAxisNames.end()) {
    return std::nullopt;
  }
  return static_cast<Axis>(found - kAxisNames.begin());
}

std::span<const std::string_view> value_names(Axis axis) {
  return kValueNames[static_cast<std::size_t>(axis)];
}

std::size_t value_of(const AxisValues& values, Axis axis) {
  return with_field(values, axis, [](auto field) { return static_cast<std::size_t>(field); });
}

void set_value(AxisValues& values, Axis axis, std::size_t value) {
  with_field(values, axis,
             [value](auto& field) { field = static_cast<std::decay_t<decltype(field)>>(value); });
}

}  // namespace farcall::model
