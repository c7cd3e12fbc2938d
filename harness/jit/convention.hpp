// Where BPF's registers and stack live in emitted code. translate.hpp says why.
#pragma once

#include <array>
#include <cstdint>

#include "base/bits.hpp"
#include "bpf/instruction.hpp"
#include "bpf/interpreter.hpp"
#include "bpf/stack_argument.hpp"
#include "model/cell.hpp"
#include "model/convention.hpp"
#include "ppc64/abi.hpp"

namespace farcall::jit {

// The ppc64 register of each BPF register.
inline constexpr std::array<ppc64::Gpr, bpf::kRegisterCount> kRegisterOf = {
    ppc64::Gpr::r8,  ppc64::Gpr::r3,  ppc64::Gpr::r4,  ppc64::Gpr::r5,
    ppc64::Gpr::r6,  ppc64::Gpr::r7,  ppc64::Gpr::r27, ppc64::Gpr::r28,
    ppc64::Gpr::r29, ppc64::Gpr::r30, ppc64::Gpr::r31};

// BPF's registers from this one on must survive calls.
inline constexpr std::uint8_t kFirstNonvolatile = 6;

// Within one BPF instruction: an immediate, an index or a count; and what is on its way to dst or
// to memory.
inline constexpr ppc64::Gpr kScratch = ppc64::Gpr::r9;
inline constexpr ppc64::Gpr kOtherScratch = ppc64::Gpr::r10;
inline constexpr ppc64::Gpr kThirdScratch = ppc64::Gpr::r11;

inline constexpr ppc64::Gpr kStack = ppc64::kElfv2.stack;

// The frame: offsets from kStack in bytes, and its size.
struct Frame {
  std::uint16_t arguments = 0;  // where a callee finds the sixth, if there are such
  std::uint16_t bpf_stack = 0;
  std::uint16_t swap_buffer = 0;  // the end of the BPF stack
  std::uint16_t saved = 0;
  std::uint16_t counter = 0;  // these two only if there are tail calls: tail_call.hpp
  std::uint16_t saved_counter = 0;
  std::uint16_t may_goto = 0;  // how often may_goto goes on, if there is one
  std::uint16_t size = 0;
};

constexpr Frame frame_of(const ppc64::CallingConvention& abi, bool tail_calls = false,
                         bool may_goto = false, bool stack_arguments = false) {
  Frame frame;
  // Where the ABI has room for five arguments before it, or at the beginning of that room.
  frame.arguments =
      static_cast<std::uint16_t>(abi.header_bytes + (abi.parameter_bytes == 0 ? 0 : 5 * 8));
  frame.bpf_stack = static_cast<std::uint16_t>(abi.header_bytes + abi.parameter_bytes);
  if (stack_arguments) {
    frame.bpf_stack = static_cast<std::uint16_t>(align_up(
        std::uint64_t{frame.arguments} + 8 * bpf::kMostStackArguments, abi.stack_alignment));
  }
  frame.swap_buffer = static_cast<std::uint16_t>(frame.bpf_stack + bpf::kFrameBytes);
  frame.saved = static_cast<std::uint16_t>(frame.swap_buffer + 8);
  frame.size =
      static_cast<std::uint16_t>(frame.saved + (8 * (bpf::kRegisterCount - kFirstNonvolatile)));
  if (tail_calls) {
    frame.counter = frame.size;
    frame.saved_counter = static_cast<std::uint16_t>(frame.size + 8);
    frame.size = static_cast<std::uint16_t>(frame.size + 16);
  }
  if (may_goto) {
    frame.may_goto = frame.size;
    frame.size = static_cast<std::uint16_t>(frame.size + 16);
  }
  return frame;
}

static_assert(frame_of(ppc64::kElfv2).size == 592 && frame_of(ppc64::kElfv1).size == 672);
static_assert(592 % ppc64::kElfv2.stack_alignment == 0 && 672 % ppc64::kElfv1.stack_alignment == 0);
static_assert(bpf::kMostFrames * std::uint64_t{frame_of(ppc64::kElfv1, true, true, true).size} <=
              model::kStackBytes);

// What the code is for: the CPU, the order that it runs in, and the ABI with its frame.
struct Target {
  model::Cpu cpu = model::Cpu::power8;
  model::Endian endian = model::Endian::little;
  model::Abi abi = model::Abi::elfv2;
  bool tail_calls = false;
  bool may_goto = false;
  bool stack_arguments = false;
  const ppc64::CallingConvention& convention = model::convention(abi);
  Frame frame = frame_of(convention, tail_calls, may_goto, stack_arguments);
};

}  // namespace farcall::jit
