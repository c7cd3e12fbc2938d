#include "report/report.hpp"

namespace farcall::report {

bool is_placed_by_kernel(const CellReport& report) {
  return report.cell.axes.guest == model::GuestKind::linux && report.cell.program != nullptr &&
         report.image != nullptr && report.cell.placement.call_base.value != 0;
}

bool FunctionPlace::fits_32_bits() const {
  return bytes(from_call_base) == static_cast<std::int32_t>(bytes(from_call_base));
}

std::vector<FunctionPlace> places_by_kernel(const CellReport& report) {
  std::vector<FunctionPlace> places;
  const std::size_t count = report.cell.program->functions.size();
  for (std::size_t i = 0; i < report.image->functions.size() && i < count; ++i) {
    const model::CodeFunction& function = report.image->functions[i];
    places.push_back({.name = function.name,
                      .address = function.address,
                      .from_call_base = function.address - report.cell.placement.call_base});
  }
  return places;
}

}  // namespace farcall::report
