// What a ppc64 calling convention promises: which registers survive a call, what a frame looks
// like. Sources: Power Architecture 64-bit ELF V2 ABI, sections 2.2.1 (registers) and 2.2.2 (stack
// frame); 64-bit PowerPC ELF ABI supplement 1.9 (ELFv1), sections 3.2.1 and 3.2.2.
#pragma once

#include <cstdint>

#include "ppc64/operand.hpp"

namespace farcall::ppc64 {

struct CallingConvention {
  // Bit n stands for register n. A callee leaves these as it found them. r2 is not among them:
  // whose business it is depends on where the callee lies, see the ABI's section on the TOC.
  std::uint32_t preserved_gpr = 0;
  std::uint8_t preserved_cr = 0;  // bit n stands for CR field n
  std::uint32_t preserved_fpr = 0;
  std::uint32_t preserved_vr = 0;

  Gpr stack{};           // stack pointer, always a multiple of stack_alignment
  Gpr toc{};             // TOC pointer
  Gpr thread{};          // thread pointer, never written
  Gpr entry_address{};   // holds the address of a callee that is called through a pointer
  Gpr first_argument{};  // eight arguments are in this and the following registers
  Gpr result{};

  // Offsets from the stack pointer, in bytes. LR and CR are saved in the *caller's* frame.
  std::uint16_t back_chain = 0;
  std::uint16_t saved_cr = 0;
  std::uint16_t saved_lr = 0;
  std::uint16_t saved_toc = 0;
  std::uint16_t header_bytes = 0;
  // Room after the header, in which a callee may save its arguments; every caller provides it.
  std::uint16_t parameter_bytes = 0;
  std::uint16_t stack_alignment = 0;

  // A pointer to a function is the address of a descriptor of this size, or of its code if 0. Its
  // doublewords are the address of the code, the TOC pointer, and an environment for `environment`.
  std::uint16_t descriptor_bytes = 0;
  Gpr environment{};
};

namespace abi {

// Registers `first` … `last` as a mask.
constexpr std::uint32_t registers(unsigned first, unsigned last) {
  return static_cast<std::uint32_t>((std::uint64_t{2} << last) - (std::uint64_t{1} << first));
}

}  // namespace abi

inline constexpr CallingConvention kElfv2 = {
    .preserved_gpr = abi::registers(1, 1) | abi::registers(13, 31),
    .preserved_cr = static_cast<std::uint8_t>(abi::registers(2, 4)),
    .preserved_fpr = abi::registers(14, 31),
    .preserved_vr = abi::registers(20, 31),
    .stack = Gpr::r1,
    .toc = Gpr::r2,
    .thread = Gpr::r13,
    .entry_address = Gpr::r12,
    .first_argument = Gpr::r3,
    .result = Gpr::r3,
    .back_chain = 0,
    .saved_cr = 8,
    .saved_lr = 16,
    .saved_toc = 24,
    .header_bytes = 32,
    .stack_alignment = 16,
};

inline constexpr CallingConvention kElfv1 = [] {
  CallingConvention convention = kElfv2;  // the same registers are preserved
  convention.saved_toc = 40;
  convention.header_bytes = 48;
  convention.parameter_bytes = 64;
  convention.descriptor_bytes = 24;
  convention.environment = Gpr::r11;
  return convention;
}();

}  // namespace farcall::ppc64
