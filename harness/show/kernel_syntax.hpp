// BPF instructions as the kernel's verifier log and bpftool write them: `(b7) r0 = 1`.
// Source: kernel/bpf/disasm.c.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "bpf/program.hpp"

namespace farcall::show {

// The instruction that begins at `slots[at]`, with its opcode before it. What is after the `#` of
// a pseudo call, or a function's address, is `name`. Opcodes that are none are `(ff) ?`.
std::string kernel_syntax(std::span<const bpf::Slot> slots, bpf::SlotIndex at,
                          std::int64_t call_distance, std::string_view name);

}  // namespace farcall::show
