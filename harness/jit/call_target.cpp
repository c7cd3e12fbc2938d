#include "jit/call_target.hpp"

#include <cstdlib>

#include "bpf/codec.hpp"

namespace farcall::jit {

GuestAddress call_target(const model::LinkedProgram& linked, std::size_t call) {
  const model::LinkedCall& site = linked.calls[call];
  if (is_external(linked, site)) {
    return linked.addresses[site.callee];
  }
  const bpf::Slot& slot = linked.program.slots[site.slot];
  switch (linked.scheme) {
    case model::CallScheme::imm32:
      return linked.call_base + static_cast<Displacement>(slot.imm);
    case model::CallScheme::aux64:
      return linked.side_table[call];
    case model::CallScheme::pair64:
      return {bpf::word_of(linked.program.slots[site.slot + 1], byte_order(linked.endian))};
    case model::CallScheme::table:
      return linked.addresses[static_cast<std::uint32_t>(slot.imm)];
  }
  std::abort();  // no other scheme is there
}

}  // namespace farcall::jit
