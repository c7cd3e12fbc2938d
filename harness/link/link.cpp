#include "link/link.hpp"

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
    SchemeRow{model::CallScheme::pair64, encode_pair64},
    SchemeRow{model::CallScheme::table, encode_table},
};

}  // namespace

Result<model::LinkedProgram> link_program(const model::Cell& cell) {
  model::LinkedProgram linked{.scheme = cell.axes.call,
                              .endian = cell.axes.endian,
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
  const auto* const row = std::ranges::find(kSchemes, linked.scheme, &SchemeRow::scheme);
  BOOST_OUTCOME_TRYV(row->encode(linked));
  return linked;
}

}  // namespace farcall::link
