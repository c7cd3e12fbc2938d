#include "link/link.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "link/scheme.hpp"

namespace farcall::link {
namespace {

struct SchemeRow {
  model::CallScheme scheme;
  Result<void> (*encode)(model::LinkedProgram& linked);
};

constexpr std::array kSchemes = {
    SchemeRow{model::CallScheme::imm32, encode_imm32},
    SchemeRow{model::CallScheme::aux64, encode_aux64},
};

}  // namespace

Result<model::LinkedProgram> link_program(const model::Cell& cell) {
  const auto* const row = std::ranges::find(kSchemes, cell.axes.call, &SchemeRow::scheme);
  if (row == kSchemes.end()) {
    return Error{.code = ErrorCode::case_unsupported,
                 .message = fmt::format("call scheme {} is not there yet; expected imm32 or aux64",
                                        value_name(cell.axes, model::Axis::call)),
                 .where = {cell.case_path}};
  }
  model::LinkedProgram linked{.scheme = cell.axes.call,
                              .program = *cell.program,
                              .addresses = cell.placement.functions,
                              .call_base = cell.placement.call_base,
                              .toc = cell.placement.toc};
  for (const bpf::PseudoCall& call : pseudo_calls(linked.program)) {
    linked.calls.push_back({.site = call.site,
                            .slot = call.slot,
                            .callee = call.callee,
                            .target = linked.addresses[call.callee]});
  }
  BOOST_OUTCOME_TRY(row->encode(linked));
  return linked;
}

}  // namespace farcall::link
