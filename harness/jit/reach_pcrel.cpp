// The PC-relative reach of power10:
//
//   pla   r12,callee        or      nop
//   nop                             pla   r12,callee
//   mtctr r12                       mtctr r12
//   bctrl                           bctrl
//
// pla is eight bytes long and must not cross a 64-byte boundary. Where it would, the nop goes in
// front of it; elsewhere behind it, so that the call has one size at any address. The distance, 34
// bits, counts from pla.
#include "jit/reach.hpp"
#include "ppc64/abi.hpp"
#include "ppc64/prefixed.hpp"

namespace farcall::jit {

GuestAddress pcrel_origin(const CallPlace& place) {
  return ppc64::crosses_boundary(place.at) ? place.at + 4 : place.at;
}

void emit_call_pcrel(Emitter& out, const CallPlace& place, GuestAddress target) {
  constexpr ppc64::Gpr kEntry = ppc64::kElfv2.entry_address;
  const GuestAddress origin = pcrel_origin(place);
  const auto nop = [&out] { out.emit<ppc64::Op::ori>(ppc64::Gpr::r0, ppc64::Gpr::r0, 0); };
  if (origin != place.at) {
    nop();
  }
  out.emit_prefixed(
      ppc64::encode(ppc64::PrefixedOp::paddi,
                    {.rt = kEntry, .displacement = bytes(target - origin), .pc_relative = true}));
  if (origin == place.at) {
    nop();
  }
  out.emit<ppc64::Op::mtctr>(kEntry);
  out.emit<ppc64::Op::bcctrl>(ppc64::kBranchAlways, ppc64::CrBit{0}, 0);
}

}  // namespace farcall::jit
