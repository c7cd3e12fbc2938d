#include <fmt/format.h>

#include "base/bits.hpp"
#include "link/scheme.hpp"

namespace farcall::link {

Result<void> encode_imm32(model::LinkedProgram& linked) {
  for (const model::LinkedCall& call : linked.calls) {
    if (is_external(linked, call)) {
      continue;
    }
    const Displacement from_base = call.target - linked.call_base;
    if (!fits_signed(bytes(from_base), 32)) {
      return out_of_range(
          linked, call,
          fmt::format("callee {} at {} is {} from the call base {}; imm32 reaches -2.0 GiB … +2.0 "
                      "GiB - 1",
                      linked.program.functions[call.callee].name, to_string(call.target),
                      to_string(from_base), to_string(linked.call_base)),
          "aux64 carries the whole address");
    }
    FARCALL_TRYV(keep_distance_in_offset(linked, call));
    linked.program.slots[call.slot].imm = static_cast<std::int32_t>(bytes(from_base));
  }
  return success();
}

}  // namespace farcall::link
