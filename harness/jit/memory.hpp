// BPF's loads, stores and atomics (RFC 9669 section 5) as ppc64 words.
#pragma once

#include "bpf/instruction.hpp"
#include "jit/emitter.hpp"

namespace farcall::jit {

// `info` is the row of `slot`, of form load, store or atomic.
void emit_memory_access(Emitter& out, const bpf::InstructionInfo& info, const bpf::Slot& slot);

}  // namespace farcall::jit
