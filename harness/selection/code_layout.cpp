#include "selection/code_layout.hpp"

#include <memory>
#include <vector>

#include "engine/guarded.hpp"
#include "jit/compile.hpp"
#include "link/link.hpp"
#include "model/cell.hpp"

namespace farcall::selection {
namespace {

// All at one address: every scheme can express that, and code has the same size anywhere.
Result<model::LinkedProgram> linked_at(GuestAddress address, const bpf::Program& program,
                                       const model::AxisValues& axes) {
  return link::link_program(
      {.axes = axes,
       .program = std::make_shared<const bpf::Program>(program),
       .placement = {.functions = std::vector<GuestAddress>(callee_count(program), address),
                     .call_base = address,
                     .toc = address}});
}

Result<GuestAddress> site_address(const bpf::Program& program, const model::AxisValues& axes,
                                  bpf::CallSite site, GuestAddress function) {
  return engine::guarded([&]() -> Result<GuestAddress> {
    FARCALL_TRY(linked, linked_at(function, program, axes));
    return jit::call_address(linked, axes, site);
  });
}

Result<std::vector<std::uint64_t>> code_sizes(const bpf::Program& program,
                                              const model::AxisValues& axes) {
  return engine::guarded([&]() -> Result<std::vector<std::uint64_t>> {
    FARCALL_TRY(linked, linked_at({}, program, axes));
    return jit::code_sizes(linked, axes);
  });
}

}  // namespace

cases::CodeLayout code_layout() {
  return {.site = site_address, .sizes = code_sizes, .at_most = jit::code_at_most};
}

}  // namespace farcall::selection
