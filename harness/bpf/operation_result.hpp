#pragma once

#include <bit>
#include <cstdint>

#include "bpf/instruction.hpp"

// What an instruction makes of numbers that are all known: RFC 9669, sections 4 and 5.3, without a
// machine. A 32-bit operand or result is in the lower half, and the upper half is zero. An operation
// of another kind than a function is for ends in not_implemented(): the instruction table is wrong
// then.
namespace farcall::bpf {

// The lower `width` bits, 32 or 64 of them.
std::uint64_t truncate(std::uint64_t value, unsigned width);

// ALU operations. The operands are of `width`; the result is to be truncated.
std::uint64_t compute(Operation operation, std::uint64_t a, std::uint64_t b, unsigned width);

// Conditions of jumps, for operands of `width`.
bool holds(Operation operation, std::uint64_t a, std::uint64_t b, unsigned width);

// Byte order instructions, on a machine of that order.
std::uint64_t reordered(const InstructionInfo& info, std::endian machine, std::uint64_t value);

// What an atomic instruction leaves in memory that held `old`; `expected` is r0's, which only
// compare-and-exchange looks at.
std::uint64_t updated(Operation operation, std::uint64_t old, std::uint64_t source,
                      std::uint64_t expected);

}  // namespace farcall::bpf
