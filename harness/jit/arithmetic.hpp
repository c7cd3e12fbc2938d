// BPF's arithmetic, moves, shifts and byte swaps (RFC 9669 sections 4.1 and 4.2) as ppc64 words.
#pragma once

#include "bpf/instruction.hpp"
#include "jit/convention.hpp"
#include "jit/emitter.hpp"

namespace farcall::jit {

// `info` is the row of `slot`, of form dst_source or dst. `target` says
// which order the CPU runs in.
void emit_arithmetic(Emitter& out, const bpf::InstructionInfo& info, const bpf::Slot& slot,
                     const Target& target);

// The second operand in a register: src, or kScratch with the sign-extended immediate.
ppc64::Gpr second_operand(Emitter& out, const bpf::InstructionInfo& info, const bpf::Slot& slot);

}  // namespace farcall::jit
