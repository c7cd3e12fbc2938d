// What an instruction other than a branch does to known registers. Power ISA 2.07, Book I,
// sections 3.3.9 to 3.3.14 (fixed-point arithmetic, logic, rotate, shift, move to and from SPRs).
#pragma once

#include <cstdint>

#include "decode/registers.hpp"
#include "ppc64/instruction.hpp"
#include "ppc64/prefixed.hpp"

namespace farcall::decode {

// `word` is an instance of `row`. A register that it writes becomes known if everything that the
// result depends on is, and the instruction is one that evaluate() computes; unknown otherwise.
void evaluate(const ppc64::Instruction& row, std::uint32_t word, KnownRegisters& registers);

// The same for the prefixed instruction `words` at `at`. Power ISA 3.1, Book I, section 3.3.9.
void evaluate(const ppc64::PrefixedInstruction& row, ppc64::PrefixedWords words, GuestAddress at,
              KnownRegisters& registers);

}  // namespace farcall::decode
