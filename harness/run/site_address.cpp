#include "run/site_address.hpp"

#include <memory>
#include <vector>

#include "jit/compile.hpp"
#include "link/link.hpp"
#include "model/cell.hpp"

namespace farcall::run {

Result<GuestAddress> site_address(const bpf::Program& program, const model::AxisValues& axes,
                                  bpf::CallSite site, GuestAddress function) {
  // All at one address: every scheme can express that, and code has the same size anywhere.
  const model::Cell cell{
      .axes = axes,
      .program = std::make_shared<const bpf::Program>(program),
      .placement = {.functions = std::vector<GuestAddress>(program.functions.size(), function),
                    .call_base = function,
                    .toc = function}};
  BOOST_OUTCOME_TRY(linked, link::link_program(cell));
  return jit::call_address(linked, axes, site);
}

}  // namespace farcall::run
