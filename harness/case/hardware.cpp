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
  const bool has_mmu = values.mmu != model::Mmu::radix || has_radix(values.cpu);
  // Prefixed instructions came with Power ISA 3.1.
  const bool has_reach = values.reach != model::Reach::pcrel || values.cpu >= model::Cpu::power10;
  // ELFv1 was never defined for little-endian.
  const bool has_abi = values.abi != model::Abi::elfv1 || values.endian == model::Endian::big;
  return has_mmu && has_reach && has_abi;
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
