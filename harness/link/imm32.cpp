#include <fmt/format.h>

#include "base/bits.hpp"
#include "link/scheme.hpp"

namespace farcall::link {
namespace {

Error out_of_range(const model::LinkedProgram& linked, const model::LinkedCall& call,
                   std::string message) {
  return Error{.code = ErrorCode::call_out_of_range,
               .message = std::move(message),
               .site = bpf::to_string(linked.program, call.site),
               .hint = "aux64 carries the whole address"};
}

}  // namespace

Result<void> encode_imm32(model::LinkedProgram& linked) {
  for (const model::LinkedCall& call : linked.calls) {
    bpf::Slot& slot = linked.program.slots[call.slot];
    const Displacement from_base = call.target - linked.call_base;
    if (!fits_signed(bytes(from_base), 32)) {
      return out_of_range(
          linked, call,
          fmt::format("callee {} at {} is {} from the call base {}; imm32 reaches -2.0 GiB … +2.0 "
                      "GiB - 1",
                      linked.program.functions[call.callee].name, to_string(call.target),
                      to_string(from_base), to_string(linked.call_base)));
    }
    if (!fits_signed(slot.imm, 16)) {
      return out_of_range(linked, call,
                          fmt::format("callee {} is {} slots away; imm32 keeps that displacement "
                                      "in `off`, which reaches -32768 … 32767",
                                      linked.program.functions[call.callee].name, slot.imm));
    }
    slot.offset = static_cast<std::int16_t>(slot.imm);
    slot.imm = static_cast<std::int32_t>(bytes(from_base));
  }
  return success();
}

}  // namespace farcall::link
