// The reach relative to the TOC:
//
//   addis r12,r2,(callee - r2)@ha
//   addi  r12,r12,(callee - r2)@l
//   mtctr r12
//   bctrl
//
// addi sign-extends its 16 bits. Where they are negative, the high half is one more to make up for
// it (`ha`, high adjusted), and must still fit in 16 signed bits itself. That moves both limits
// down by 0x8000: a distance from 0x7fff8000 on would wrap and land 4 GiB below its callee.
#include "base/bits.hpp"
#include "jit/reach.hpp"
#include "ppc64/abi.hpp"

namespace farcall::jit {

GuestAddress toc_origin(const CallPlace& place) {
  return place.toc;
}

void emit_call_toc(Emitter& out, const CallPlace& place, GuestAddress target) {
  constexpr ppc64::Gpr kEntry = ppc64::kElfv2.entry_address;
  const std::int64_t distance = bytes(target - toc_origin(place));
  const std::int64_t low = sign_extend(static_cast<std::uint64_t>(distance), 16);
  out.emit<ppc64::Op::addis>(kEntry, ppc64::kElfv2.toc, (distance - low) >> 16);
  out.emit<ppc64::Op::addi>(kEntry, kEntry, low);
  out.emit<ppc64::Op::mtctr>(kEntry);
  out.emit<ppc64::Op::bcctrl>(ppc64::kBranchAlways, ppc64::CrBit{0}, 0);
}

}  // namespace farcall::jit
