// What a register holds while the interpreter runs: its bits, and what is known of them.
//
// Three kinds of bits are undefined: those of registers that were never written or that a call has
// changed, of memory that was never written, and of addresses in the stack, which lies elsewhere on
// the CPU. The first two kinds may be copied and computed with, as compilers do with padding; the
// program's meaning must not depend on them. The rules are those of Valgrind's memcheck: a bit of a
// result is undefined if it could change with an undefined bit of an operand.
//
// A pointer into a frame stays one through moves, additions and subtractions of 64 bits; the
// difference of two into the same frame is a number. After anything else its bits are undefined.
#pragma once

#include <cstdint>

#include "bpf/instruction.hpp"
#include "bpf/program.hpp"

namespace farcall::bpf {

// Why bits are undefined: the first reason, where there are several.
struct Origin {
  enum class Kind : std::uint8_t {
    none,            // they are not
    never_written,   // `reg` in the function that begins at `slot`
    lost_by_call,    // `reg`, after the call at `slot`
    memory,          // bytes that the instruction at `slot` reads
    stack_position,  // an address in the stack
    return_address,  // one that a walk over the stack has stored
    instruction,     // the address of one: element `slot` of Program::code_pointers
  };
  Kind kind = Kind::none;
  std::uint8_t reg = 0;
  SlotIndex slot = 0;
};

struct Value {
  std::uint64_t bits = 0;
  std::uint64_t undefined = 0;  // a mask; the bits there are 0 or arbitrary
  std::uint32_t frame = 0;      // not 0: an address, counted from r10 of the frame with that number
  Origin origin = {};           // if undefined is not 0

  // A number, all of it known.
  bool is_plain() const { return undefined == 0 && frame == 0; }
};

// All of whose bits are undefined.
Value undefined_value(Origin origin);

// A pointer as the number that it is where the stack lies now: undefined but for its low bits,
// since frames are aligned to doublewords. Any other value as it is.
Value opaque(Value value);

// The low `width` bits, 8 to 64; those above are zero, or copies of the sign.
Value truncated(Value value, unsigned width);
Value sign_extended(Value value, unsigned width);

// Which bits of the result of an ALU operation other than a move are undefined. The operands are
// not pointers and of `width` bits; `same` says that both are one register.
std::uint64_t undefined_bits(Operation operation, const Value& a, const Value& b, unsigned width,
                             bool same);

// Whether a jump's condition, or the comparison of an atomic compare-and-exchange (jump_if_equal),
// is fixed by the bits that are defined. Operands as above.
bool is_decided(Operation operation, const Value& a, const Value& b, unsigned width, bool same);

}  // namespace farcall::bpf
