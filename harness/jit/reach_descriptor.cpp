// The absolute reach of ELFv1, to a callee that is known by the address of its descriptor:
//
//   std   r2,40(r1)         save our TOC pointer in our frame's header
//   lis   r11,descriptor@highest
//   ori   r11,r11,descriptor@higher
//   sldi  r11,r11,32
//   oris  r11,r11,descriptor@h
//   ori   r11,r11,descriptor@l
//   ld    r12,0(r11)        the code
//   ld    r2,8(r11)         the callee's TOC pointer
//   mtctr r12
//   bctrl
//
// and `ld r2,40(r1)` behind the call. The environment in the third doubleword is for languages with
// nested functions; BPF has none, and nothing reads r11.
#include "jit/immediate.hpp"
#include "jit/reach.hpp"
#include "ppc64/abi.hpp"

namespace farcall::jit {

static_assert(kDescriptorReachWords == kFixedImmediateWords + 5);

void emit_call_descriptor(Emitter& out, const CallPlace& /*place*/, GuestAddress descriptor) {
  constexpr ppc64::CallingConvention kAbi = ppc64::kElfv1;
  out.emit<ppc64::Op::std_>(kAbi.toc, kAbi.saved_toc, kAbi.stack);
  load_immediate_fixed(out, kAbi.environment, descriptor.value);
  out.emit<ppc64::Op::ld>(kAbi.entry_address, 0, kAbi.environment);
  out.emit<ppc64::Op::ld>(kAbi.toc, 8, kAbi.environment);
  out.emit<ppc64::Op::mtctr>(kAbi.entry_address);
  out.emit<ppc64::Op::bcctrl>(ppc64::kBranchAlways, ppc64::CrBit{0}, 0);
}

}  // namespace farcall::jit
