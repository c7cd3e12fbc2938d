// The near reach:
//
//   bl    callee
//
// The distance is in the branch, 24 bits of words: ±32 MiB from the branch itself.
#include "jit/reach.hpp"

namespace farcall::jit {

GuestAddress bl_origin(const CallPlace& place) {
  return place.at;
}

void emit_call_bl(Emitter& out, const CallPlace& place, GuestAddress target) {
  out.emit<ppc64::Op::bl>(bytes(target - bl_origin(place)));
}

}  // namespace farcall::jit
