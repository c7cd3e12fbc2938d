#include "case/hardware.hpp"

#include <algorithm>
#include <array>
#include <vector>

#include "case/text.hpp"

namespace farcall::cases {
namespace {

using model::Axis;

template <typename Value>
constexpr std::size_t at(Value value) {
  return static_cast<std::size_t>(value);
}

// Two values of different axes that never go together.
struct Exclusion {
  Axis axis;
  std::size_t value;
  Axis other_axis;
  std::size_t other_value;
};

constexpr std::array kExclusions = {
    // Radix translation came with Power ISA 3.0.
    Exclusion{Axis::mmu, at(model::Mmu::radix), Axis::cpu, at(model::Cpu::power8)},
    // Prefixed instructions came with Power ISA 3.1.
    Exclusion{Axis::reach, at(model::Reach::pcrel), Axis::cpu, at(model::Cpu::power8)},
    Exclusion{Axis::reach, at(model::Reach::pcrel), Axis::cpu, at(model::Cpu::power9)},
    // ELFv1 was never defined for little-endian.
    Exclusion{Axis::abi, at(model::Abi::elfv1), Axis::endian, at(model::Endian::little)},
};

// What no machine of ours runs yet.
struct AxisValue {
  Axis axis;
  std::size_t value;
};
constexpr std::array kNotSupported = {
    AxisValue{Axis::guest, at(model::GuestKind::linux)},
};

}  // namespace

bool is_possible(const model::AxisValues& values) {
  return std::ranges::none_of(kExclusions, [&](const Exclusion& row) {
    return value_of(values, row.axis) == row.value &&
           value_of(values, row.other_axis) == row.other_value;
  });
}

bool is_supported(Axis axis, std::size_t value) {
  return std::ranges::none_of(
      kNotSupported, [&](const AxisValue& row) { return row.axis == axis && row.value == value; });
}

std::string supported_values(Axis axis) {
  std::vector<std::string_view> names;
  const auto all = model::value_names(axis);
  for (std::size_t value = 0; value < all.size(); ++value) {
    if (is_supported(axis, value)) {
      names.push_back(all[value]);
    }
  }
  return list(names);
}

}  // namespace farcall::cases
