#include "link/scheme.hpp"

namespace farcall::link {

Result<void> encode_table(model::LinkedProgram& linked) {
  for (const model::LinkedCall& call : linked.calls) {
    if (is_external(linked, call)) {
      continue;
    }
    FARCALL_TRYV(keep_distance_in_offset(linked, call));
    linked.program.slots[call.slot].imm = static_cast<std::int32_t>(call.callee);
  }
  return success();
}

}  // namespace farcall::link
