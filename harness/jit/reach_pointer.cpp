// A call through a pointer:
//
//   ELFv2                     ELFv1
//                             std   r2,40(r1)     save our TOC pointer in our frame's header
//   mr    r12,pointer         mr    r11,pointer
//                             ld    r12,0(r11)    the code
//                             ld    r2,8(r11)     the callee's TOC pointer
//   mtctr r12                 mtctr r12
//   bctrl                     bctrl
//
// as the absolute reach does it with a pointer that it knows (reach_abs64.cpp, reach_descriptor.cpp
// say why).
#include "jit/reach.hpp"
#include "model/convention.hpp"

namespace farcall::jit {

void emit_call_pointer(Emitter& out, model::Abi abi, ppc64::Gpr pointer) {
  using ppc64::Op;
  const ppc64::CallingConvention& convention = model::convention(abi);
  if (convention.descriptor_bytes != 0) {
    out.emit<Op::std_>(convention.toc, convention.saved_toc, convention.stack);
    out.emit<Op::or_>(convention.environment, pointer, pointer);
    out.emit<Op::ld>(convention.entry_address, 0, convention.environment);
    out.emit<Op::ld>(convention.toc, 8, convention.environment);
  } else {
    out.emit<Op::or_>(convention.entry_address, pointer, pointer);
  }
  out.emit<Op::mtctr>(convention.entry_address);
  out.emit<Op::bcctrl>(ppc64::kBranchAlways, ppc64::CrBit{0}, 0);
}

}  // namespace farcall::jit
