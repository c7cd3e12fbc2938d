// BPF assembly to programs, in the dialect of the public conformance suite (bpf_conformance).
//
// clang-format off
//   # a comment, to the end of the line
//   mov %r0, 1               mnemonics, operands and registers as in bpf/instruction.hpp; `r0` is
//                            `%r0`
//   ldxw %r3, [%r1+12]       offsets: -32768 … 32767; [%r1] is [%r1+0]
//   lddw %r1, 0x123456789    64 bits; a negative number, or the bit pattern
//   add32 %r0, 0xffffffff    32 bits; likewise, and sign-extended where the operation has 64 bits
//   jeq %r1, %r2, done       a label, or `+2`, `-3`: slots relative to the next slot
//   ja32 done                likewise; up to 32 bits away
//   lock fetch add [%r1], %r2    atomics; `fetch` or not, `add` or `add32`
//   bswap16 %r1              another word for swap16
//   call local callee        a label
//   call 5                   a helper's number
//   call kfunc 5             the id of a kfunc's type
//   lddw %r1, local callee   the address of a function
//   lddw %r1, map name       the address of a map
//   lddw %r1, value name+8   the address of a byte of an array's values; without a number,
//                            the first
//   callx %r1                a call through a register, where the program has that extension
//   call %r1                 the same
//   gotox %r1                a jump to the instruction whose address is in a register
//   done: exit               labels stand on a line of their own, or before an instruction
// clang-format on
//
// Labels are letters, digits, `_`, `.` and `$`, do not begin with a digit, and are known in the
// whole text. Two need no definition: `exit`, in a jump, is the first exit instruction of the
// jump's function, and `main` is the first slot.
//
// `.table jumps zero, one`, on a line of its own, puts the addresses of the instructions at these
// labels into a region of memory of that name (Program::code_pointers), for `gotox %r1`.
//
// `.rept 3` and `.endr`, on lines of their own, repeat what is between them, which has no labels.
//
// Functions: slot 0 begins one, called `main` whatever its labels are, and so does each label that
// is the target of a call or of a load of a function's address; a function extends to the next one.
// Registers up to %r15 can be written; it is validate() that refuses those beyond %r10, as it does
// jumps across functions.
#pragma once

#include <span>
#include <string_view>

#include "base/error.hpp"
#include "bpf/program.hpp"

namespace farcall::bpf {

// `text` is what follows the line `-- asm`; its first line is `start.line` of `start.file`. The
// program's origins are the mnemonics' places. An error's place is that of the token which is
// wrong, or of the line's end where something is missing: asm.syntax, asm.unknown-mnemonic,
// asm.unknown-label, asm.unknown-map, asm.duplicate-label, asm.out-of-range; bpf.empty, at `start`,
// for a text without an instruction. `maps` are those of the program.
Result<Program> assemble(std::string_view text, const SourceLocation& start,
                         std::span<const Map> maps = {});

}  // namespace farcall::bpf
