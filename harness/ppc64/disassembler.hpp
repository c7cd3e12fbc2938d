// Text of instruction words, as binutils' objdump writes it (`-Mpower10`), with the usual extended
// mnemonics: li, mr, sldi, blr, bctrl, beq. One difference: the target of a branch to a negative
// absolute address is written with all its 64 bits.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/address.hpp"

namespace farcall::ppc64 {

// The word at `at`, which relative branch targets count from. A word that the instruction table
// does not have is `.long 0x…`.
std::string disassemble(std::uint32_t word, GuestAddress at);

// The instruction at the front of `words`, not empty: one word, or the two of a prefixed one, as
// instruction_words() of ppc64/prefixed.hpp says.
std::string disassemble(std::span<const std::uint32_t> words, GuestAddress at);

}  // namespace farcall::ppc64
