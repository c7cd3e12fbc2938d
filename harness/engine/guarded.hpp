// What becomes of a defect of our own linker or JIT: the error of one cell.
#pragma once

#include <fmt/format.h>

#include <exception>

#include "base/error.hpp"

namespace farcall::engine {

// What `stage` returns, a Result; what it throws, such as the encoder's std::logic_error on an
// operand out of range, is jit.internal.
template <typename Stage>
auto guarded(Stage stage) -> decltype(stage()) {
  try {
    return stage();
  } catch (const std::exception& defect) {
    return Error{.code = ErrorCode::jit_internal,
                 .message = fmt::format("farcall's linker or JIT has a defect: {}", defect.what()),
                 .hint = "please report it: `farcall run --bundle FILE` packs the cell's document"};
  }
}

}  // namespace farcall::engine
