#include "link/scheme.hpp"

#include <fmt/format.h>

#include <cstdint>
#include <utility>

#include "base/bits.hpp"

namespace farcall::link {

Error out_of_range(const model::LinkedProgram& linked, const model::LinkedCall& call,
                   std::string message, std::string hint) {
  return {.code = ErrorCode::call_out_of_range,
          .message = std::move(message),
          .where = linked.program.origins.at(call.slot),
          .site = bpf::to_string(linked.program, call.site),
          .hint = std::move(hint)};
}

Result<void> keep_distance_in_offset(model::LinkedProgram& linked, const model::LinkedCall& call) {
  const bpf::Function& callee = linked.program.functions[call.callee];
  const std::int64_t distance = std::int64_t{callee.begin} - call.slot - 1;
  if (!fits_signed(distance, 16)) {
    const auto scheme =
        model::value_names(model::Axis::call)[static_cast<std::size_t>(linked.scheme)];
    return out_of_range(linked, call,
                        fmt::format("callee {} is {} slots away; {} keeps that distance in `off`, "
                                    "which reaches -32768 … 32767",
                                    callee.name, distance, scheme),
                        "aux64 keeps the distance in `imm`");
  }
  linked.program.slots[call.slot].offset = static_cast<std::int16_t>(distance);
  return success();
}

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

Result<void> encode_aux64(model::LinkedProgram& linked) {
  linked.side_table.reserve(linked.calls.size());
  for (const model::LinkedCall& call : linked.calls) {
    linked.side_table.push_back(call.target);
  }
  return success();
}

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
