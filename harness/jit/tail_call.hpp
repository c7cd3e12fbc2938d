// Tail calls: another program in place of the function that asks for it.
//
// How many there were is counted in one doubleword, in the frame of the function that the run began
// with. r26 points to it in all functions that are called from there, so that subprograms count on.
// Only programs that have tail calls pay for it. A frame then has 16 bytes more at its end:
//
//   ELFv2 ELFv1
//    592   672   the count, in the outermost function's frame
//    600   680   r26 of the caller
//    608   688   = the caller's frame
//
// The functions that a tail call may go to begin with four words that it leaves out: they save r26,
// point it to the count, and set that to 0. All frames being of one size, the program that a tail
// call goes to finds both doublewords where its predecessor left them, below r1 as that was on
// entry.
#pragma once

#include <cstdint>

#include "bpf/instruction.hpp"
#include "jit/convention.hpp"
#include "jit/emitter.hpp"

namespace farcall::jit {

inline constexpr ppc64::Gpr kTailCounter = ppc64::Gpr::r26;
inline constexpr std::uint32_t kTailEntryWords = 4;

constexpr bool is_may_goto(const bpf::Slot& slot) {
  const bpf::InstructionInfo* const info = bpf::find(slot);
  return info != nullptr && info->operation == bpf::Operation::may_goto;
}

// The beginning of a program: kTailEntryWords words.
void emit_tail_counter(Emitter& out, const Frame& frame);

// r2 and r3 of BPF are the program array and the index. If there is no program to go to, the code
// skips the `words_behind` words that follow; else it falls into them, with the call counted and
// the program's entry in r12 and in CTR.
void emit_tail_call_checks(Emitter& out, const Target& target, std::uint32_t words_behind);

}  // namespace farcall::jit
