#include "conformance/suite_case.hpp"

#include <string_view>
#include <utility>

#include "case/matrix.hpp"
#include "external/external.hpp"
#include "run/pipeline.hpp"

namespace farcall::conformance {
namespace {

constexpr std::uint64_t kFarPlaces = 0xc000'0000'4000'0000;  // a GiB into text
constexpr std::uint64_t kBetweenPlaces = std::uint64_t{1} << 20;

// By number.
constexpr std::array<std::string_view, 6> kHelpers = {"gather_bytes", "memfrob",    "no_op",
                                                      "sqrti",        "strcmp_ext", "unwind"};

}  // namespace

const cases::Undeclared& suite_helpers() {
  static const cases::Undeclared kAll = [] {
    cases::Undeclared all{.externals = {}, .callx = bpf::Callx::helper};
    for (std::size_t i = 0; i < kHelpers.size(); ++i) {
      all.externals.push_back(external::external(
          *external::find(kHelpers[i]), bpf::ExternalKind::helper, static_cast<std::int32_t>(i)));
    }
    return all;
  }();
  return kAll;
}

void set_cpu(model::AxisValues& axes, model::Cpu cpu) {
  axes.cpu = cpu;
  axes.mmu = has_radix(cpu) ? model::Mmu::radix : model::Mmu::hash;
}

Result<model::Cell> suite_cell(const cases::Case& parsed, const Target& target) {
  FARCALL_TRY(cells, cases::cells(parsed));
  model::Cell cell = std::move(cells.front());
  cell.axes = target.axes;
  cell.expected.result.reset();
  if (target.far) {
    for (std::size_t i = 1; i < cell.placement.functions.size(); i += 2) {
      cell.placement.functions[i] = {kFarPlaces + i * kBetweenPlaces};
    }
  }
  run::expect_calls_as_interpreted(cell);
  return cell;
}

}  // namespace farcall::conformance
