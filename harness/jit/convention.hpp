// Where BPF's registers and stack live in emitted code. translate.hpp says why.
#pragma once

#include <array>
#include <cstdint>

#include "bpf/instruction.hpp"
#include "bpf/interpreter.hpp"
#include "model/cell.hpp"
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

inline constexpr ppc64::Gpr kStack = ppc64::kElfv2.stack;

// The frame: offsets from kStack in bytes.
inline constexpr std::uint16_t kBpfStack = ppc64::kElfv2.header_bytes;
inline constexpr std::uint16_t kSwapBuffer = kBpfStack + bpf::kFrameBytes;
inline constexpr std::uint16_t kSaved = kSwapBuffer + 8;
inline constexpr std::uint16_t kFrameBytes = kSaved + 8 * (bpf::kRegisterCount - kFirstNonvolatile);
static_assert(kFrameBytes == 592 && kFrameBytes % ppc64::kElfv2.stack_alignment == 0);
static_assert(std::uint64_t{24} * kFrameBytes <= model::kStackBytes);

}  // namespace farcall::jit
