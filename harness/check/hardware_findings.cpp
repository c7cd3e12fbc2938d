#include <fmt/format.h>

#include "check/findings.hpp"
#include "model/axes.hpp"

namespace farcall::check {
namespace {

std::string_view value_text(model::Axis axis, auto value) {
  return value ? value_names(axis)[static_cast<std::size_t>(*value)] : "unknown";
}

}  // namespace

Findings hardware_findings(const model::AxisValues& axes, const model::GuestHardware& hardware) {
  if (hardware.endian == axes.endian && hardware.cpu == axes.cpu && hardware.mmu == axes.mmu) {
    return {};
  }
  using enum model::Axis;
  return {{ErrorCode::machine_other_hardware, "",
           fmt::format("expected a guest that is {}, {}, {}; the one that ran this says that it is "
                       "{}, {} (PVR {:08x}), {}",
                       value_name(axes, endian), value_name(axes, cpu), value_name(axes, mmu),
                       value_text(endian, hardware.endian), value_text(cpu, hardware.cpu),
                       hardware.processor, value_text(mmu, hardware.mmu))}};
}

}  // namespace farcall::check
