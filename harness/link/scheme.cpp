#include "link/scheme.hpp"

#include <fmt/format.h>

#include <cstdint>
#include <utility>

#include "base/bits.hpp"

namespace farcall::link {

Error out_of_range(const model::LinkedProgram& linked, const model::LinkedCall& call,
                   std::string message, std::string hint) {
  Error error{.code = ErrorCode::call_out_of_range,
              .message = std::move(message),
              .site = bpf::to_string(linked.program, call.site),
              .hint = std::move(hint)};
  if (call.slot < linked.program.origins.size()) {
    error.where = linked.program.origins[call.slot];
  }
  return error;
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

}  // namespace farcall::link
