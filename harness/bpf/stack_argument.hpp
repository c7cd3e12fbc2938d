// Arguments six and more, as LLVM has them since 2026. They are in no register: a caller stores the
// sixth by `stxdw [%r11-8], …`, the seventh at -16, and so on, right before the call; the callee
// loads them by `ldxdw …, [%r11+8]`, +16. r11 is nothing but the base of these accesses, which are
// of 64 bits. A call takes what was stored: for the next one all is to be stored again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "bpf/instruction.hpp"
#include "bpf/program.hpp"

namespace farcall::bpf {

inline constexpr std::uint8_t kArgumentBase = 11;
inline constexpr std::size_t kMostStackArguments = 7;  // Linux has twelve arguments at most

struct StackArgument {
  bool is_own = false;     // one that the function was given; else one that it passes on
  std::size_t number = 0;  // from 0, the sixth argument
};

// What a slot, an instruction of the table, loads or stores of them; empty if it is not such an access.
constexpr std::optional<StackArgument> stack_argument(const Slot& slot,
                                                      const InstructionInfo& info) {
  const bool is_own = info.form == Form::load;
  const bool is_access = (is_own || info.form == Form::store) && info.memory_bytes == 8 &&
                         !info.orders() && (is_own ? slot.src : slot.dst) == kArgumentBase;
  const int distance = is_own ? slot.offset : -slot.offset;
  if (!is_access || distance % 8 != 0 || distance < 8 || distance > 8 * int{kMostStackArguments}) {
    return std::nullopt;
  }
  return StackArgument{.is_own = is_own, .number = static_cast<std::size_t>(distance / 8 - 1)};
}

// Whether the program has such accesses.
bool has_stack_arguments(const Program& program);

}  // namespace farcall::bpf
