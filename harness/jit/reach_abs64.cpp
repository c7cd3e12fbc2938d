// The absolute reach:
//
//   lis   r12,callee@highest
//   ori   r12,r12,callee@higher
//   sldi  r12,r12,32
//   oris  r12,r12,callee@h
//   ori   r12,r12,callee@l
//   mtctr r12
//   bctrl
//
// All five words stand even where a halfword of the address is zero: a call may not become longer
// because its callee was moved. ELFv2 wants the callee's address in r12 when it is called through a
// pointer, so that it can find its TOC.
#include "jit/immediate.hpp"
#include "jit/reach.hpp"
#include "ppc64/abi.hpp"

namespace farcall::jit {

static_assert(kAbs64Words == kFixedImmediateWords + 2);

GuestAddress abs64_origin(const CallPlace& /*place*/) {
  return {};
}

void emit_call_abs64(Emitter& out, const CallPlace& /*place*/, GuestAddress target) {
  constexpr ppc64::Gpr kEntry = ppc64::kElfv2.entry_address;
  load_immediate_fixed(out, kEntry, target.value);
  out.emit<ppc64::Op::mtctr>(kEntry);
  out.emit<ppc64::Op::bcctrl>(ppc64::kBranchAlways, ppc64::CrBit{0}, 0);
}

}  // namespace farcall::jit
