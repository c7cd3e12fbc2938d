// What becomes of a defect of our own linker or JIT: the error of one cell.
#pragma once

#include <fmt/format.h>

#include <exception>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "base/error.hpp"

namespace farcall::engine {

// Runs `work` on this thread. If it crashes (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, a stack that
// is used up), the thread goes on here, and what is returned says how, such as `signal 11
// (Segmentation fault) at address 0x8`. The memory that `work` had allocated is lost then, what it
// locked stays locked, and it may have written anywhere: so its cell is an error of farcall's own,
// and the whole run fails (exit 3). A crash outside of `work` ends the process, as usual.
std::optional<std::string> crash_of(const std::function<void()>& work);

inline Error defect(std::string_view what) {
  return {.code = ErrorCode::jit_internal,
          .message = fmt::format("farcall's linker or JIT has a defect: {}", what),
          .hint = "please report it: `farcall run --bundle FILE` packs the cell's document"};
}

// What `stage` returns, a Result; what it throws, such as the encoder's std::logic_error on an
// operand out of range, is jit.internal, and so is a crash.
template <typename Stage>
auto guarded(Stage stage) -> decltype(stage()) {
  std::optional<decltype(stage())> made;
  const auto crash = crash_of([&] {
    try {
      made.emplace(stage());
    } catch (const std::exception& thrown) {
      made.emplace(defect(thrown.what()));
    }
  });
  return crash ? defect(*crash) : std::move(*made);
}

}  // namespace farcall::engine
