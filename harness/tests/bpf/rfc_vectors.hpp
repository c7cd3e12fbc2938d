// What RFC 9669 says of its edges, worked out by hand: a reference of its own beside interpreter
// and JIT, for what they could both misread in the same way. Each row names the section.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace farcall::bpf {

// r1 after `instruction`, with r1 = a and r2 = b before it. The same in both byte orders.
struct RfcVector {
  std::string_view section;
  std::string_view instruction;
  std::uint64_t a;
  std::uint64_t b;
  std::uint64_t expected;
};

inline constexpr std::uint64_t kMost = 0x7fffffffffffffff;
inline constexpr std::uint64_t kLeast = 0x8000000000000000;
inline constexpr std::uint64_t kOnes = 0xffffffffffffffff;
constexpr std::uint64_t minus(std::uint64_t value) {
  return 0 - value;
}

inline constexpr auto kRfcVectors = std::to_array<RfcVector>({
    // 4.1: "Underflow and overflow are allowed during arithmetic operations, meaning the 64-bit or
    // 32-bit value will wrap."
    {"4.1", "add %r1, %r2", kOnes, 1, 0},
    {"4.1", "add32 %r1, %r2", 0xffffffff, 1, 0},
    {"4.1", "sub %r1, %r2", 0, 1, kOnes},
    {"4.1", "sub32 %r1, %r2", kLeast, 1, 0xffffffff},
    {"4.1", "mul %r1, %r2", kLeast, 2, 0},
    {"4.1", "mul32 %r1, %r2", 0x80000000, 0xffffffff, 0x80000000},
    {"4.1", "neg %r1", kLeast, 0, kLeast},
    {"4.1", "neg32 %r1", 0xffffffff80000000, 0, 0x80000000},
    // 4.1: "If BPF program execution would result in division by zero, the destination register is
    // instead set to zero. Otherwise, for ALU64, if execution would result in LLONG_MIN divided by
    // -1, the destination register is instead set to LLONG_MIN. For ALU, [...] INT_MIN".
    {"4.1", "div %r1, %r2", kOnes, 0, 0},
    {"4.1", "div32 %r1, %r2", 0x1234567800000007, 0xffffffff00000000, 0},
    {"4.1", "sdiv %r1, %r2", kOnes, 0, 0},
    {"4.1", "sdiv32 %r1, %r2", 0xfffffff9, kLeast, 0},
    {"4.1", "sdiv %r1, %r2", kLeast, kOnes, kLeast},
    {"4.1", "sdiv32 %r1, %r2", 0x80000000, 0xffffffff, 0x80000000},
    {"4.1", "sdiv32 %r1, -1", 0xabcdef0180000000, 0, 0x80000000},
    {"4.1", "sdiv %r1, -1", kLeast, 0, kLeast},
    // 4.1: "If execution would result in modulo by zero, for ALU64 the value of the destination
    // register is unchanged whereas for ALU the upper 32 bits of the destination register are
    // zeroed. Otherwise, [...] LLONG_MIN modulo -1 [...] is instead set to 0."
    {"4.1", "mod %r1, %r2", kOnes, 0, kOnes},
    {"4.1", "mod32 %r1, %r2", 0x1122334455667788, 0, 0x55667788},
    {"4.1", "smod %r1, %r2", kLeast, 0, kLeast},
    {"4.1", "smod32 %r1, %r2", 0xffffffff80000000, 0xff00000000, 0x80000000},
    {"4.1", "smod %r1, %r2", kLeast, kOnes, 0},
    {"4.1", "smod32 %r1, %r2", 0x80000000, 0xffffffff, 0},
    {"4.1", "smod %r1, -1", kLeast, 0, 0},
    {"4.1", "smod32 %r1, -1", 0x180000000, 0, 0},
    // 4.1: "for BPF_ALU64 [...] 'imm' is first sign extended from 32 to 64 bits, and then
    // interpreted as an unsigned 64-bit value" for unsigned, as signed for signed operations.
    {"4.1", "div %r1, -1", kOnes, 0, 1},
    {"4.1", "div %r1, -1", kMost, 0, 0},
    {"4.1", "div32 %r1, -1", 0xffffffff, 0, 1},
    {"4.1", "mod %r1, -2", kOnes, 0, 1},
    {"4.1", "mod32 %r1, -2", kOnes, 0, 1},
    {"4.1", "sdiv %r1, -2", 7, 0, minus(3)},
    {"4.1", "sdiv32 %r1, -2", 7, 0, 0xfffffffd},
    // 4.1: "signed modulo operations MUST use truncated division (where -13 % 3 == -1)".
    {"4.1", "smod %r1, 3", minus(13), 0, minus(1)},
    {"4.1", "smod %r1, %r2", minus(13), 3, minus(1)},
    {"4.1", "smod %r1, %r2", 13, minus(3), 1},
    {"4.1", "smod %r1, %r2", minus(13), minus(3), minus(1)},
    {"4.1", "smod32 %r1, %r2", 0xfffffff3, 3, 0xffffffff},
    {"4.1", "smod32 %r1, %r2", 0x80000000, 0x7fffffff, 0xffffffff},
    {"4.1", "sdiv %r1, %r2", minus(13), 3, minus(4)},
    {"4.1", "sdiv %r1, %r2", kMost, kLeast, 0},
    {"4.1", "sdiv %r1, %r2", kLeast, kMost, minus(1)},
    {"4.1", "sdiv32 %r1, %r2", 0x500000000 | 0xfffffff3, 0x700000003, 0xfffffffc},
    // dst and src may be one register.
    {"4.1", "sdiv %r1, %r1", kLeast, 0, 1},
    {"4.1", "sdiv %r1, %r1", 0, 0, 0},
    {"4.1", "smod %r1, %r1", kLeast, 0, 0},
    {"4.1", "smod32 %r1, %r1", 0xffffffff00000000, 0, 0},
    {"4.1", "mod32 %r1, %r1", 0xffffffff00000000, 0, 0},
    // 4.1: "MOVSX ALU64 sign extends 8-bit, 16-bit, and 32-bit operands into 64-bit operands [...]
    // ALU [...] 8-bit and 16-bit operands into 32-bit operands, and zeroes the remaining upper 32".
    {"4.1", "movsx864 %r1, %r2", 0, 0x80, minus(0x80)},
    {"4.1", "movsx864 %r1, %r2", 0, kOnes ^ 0x80, 0x7f},
    {"4.1", "movsx1664 %r1, %r2", 0, 0x18000, minus(0x8000)},
    {"4.1", "movsx3264 %r1, %r2", 0, 0x80000000, 0xffffffff80000000},
    {"4.1", "movsx3264 %r1, %r2", 0, 0xffffffff7fffffff, 0x7fffffff},
    {"4.1", "movsx832 %r1, %r2", kOnes, 0xff, 0xffffffff},
    {"4.1", "movsx832 %r1, %r2", kOnes, 0xff7f, 0x7f},
    {"4.1", "movsx1632 %r1, %r2", kOnes, 0x8000, 0xffff8000},
    {"4.1", "movsx1632 %r1, %r1", 0x12348001, 0, 0xffff8001},
    // 4.1: "Shift operations use a mask of 0x3F (63) for 64-bit operations and 0x1F (31) for 32-bit
    // operations."
    {"4.1", "lsh %r1, %r2", 1, 64, 1},
    {"4.1", "lsh %r1, %r2", 1, 127, kLeast},
    {"4.1", "lsh32 %r1, %r2", 1, 32, 1},
    {"4.1", "lsh32 %r1, %r2", kOnes, 0, 0xffffffff},
    {"4.1", "rsh %r1, %r2", kOnes, kOnes, 1},
    {"4.1", "rsh32 %r1, %r2", kOnes, kOnes, 1},
    {"4.1", "rsh32 %r1, %r2", 0xffffffff00000000, 4, 0},
    {"4.1", "arsh %r1, %r2", kLeast, kOnes, kOnes},
    {"4.1", "arsh %r1, %r2", kLeast, 64, kLeast},
    {"4.1", "arsh32 %r1, %r2", 0x80000000, 63, 0xffffffff},
    {"4.1", "arsh32 %r1, %r2", 0x80000000, 32, 0x80000000},
    {"4.1", "lsh %r1, 65", 1, 0, 2},
    {"4.1", "arsh32 %r1, 33", 0xffffffff80000000, 0, 0xc0000000},
    // 4.1: 32-bit operations zero the upper half, whatever they do to the lower one.
    {"4.1", "mov32 %r1, %r1", kOnes, 0, 0xffffffff},
    {"4.1", "mov32 %r1, -1", 0, 0, 0xffffffff},
    {"4.1", "mov %r1, -1", 0, 0, kOnes},
    {"4.1", "add32 %r1, 0", kOnes, 0, 0xffffffff},
    {"4.1", "or32 %r1, 0", kOnes, 0, 0xffffffff},
    {"4.1", "and32 %r1, -1", kOnes, 0, 0xffffffff},
    {"4.1", "xor32 %r1, 0", kOnes, 0, 0xffffffff},
    {"4.1", "lsh32 %r1, 0", kOnes, 0, 0xffffffff},
    {"4.1", "arsh32 %r1, 0", kOnes, 0, 0xffffffff},
    // 4.2, table 7: ALU64 END swaps, whatever the order of the machine.
    {"4.2", "swap16 %r1", 0x1122334455667788, 0, 0x8877},
    {"4.2", "swap32 %r1", 0x1122334455667788, 0, 0x88776655},
    {"4.2", "swap64 %r1", 0x1122334455667788, 0, 0x8877665544332211},
});

// `instruction` on the 8 bytes that r1 points to, which hold `memory` as a number of the atomic's
// width, with r0 = a and r2 = b.
struct RfcAtomicVector {
  std::string_view section;
  std::string_view instruction;
  std::uint64_t memory;
  std::uint64_t a;
  std::uint64_t b;
  std::uint64_t memory_after;
  std::uint64_t r0_after;
  std::uint64_t r2_after;
};

// 5.3: "If BPF_FETCH is set [...] src is overwritten with the value that was in memory before";
// CMPXCHG compares with R0, and "in either case" R0 becomes "the value that was at dst + offset
// before the operation", "zero-extended". 32-bit atomics look at the lower halves.
inline constexpr auto kRfcAtomicVectors = std::to_array<RfcAtomicVector>({
    {"5.3", "lock add [%r1], %r2", kOnes, 7, 2, 1, 7, 2},
    {"5.3", "lock fetch add [%r1], %r2", kOnes, 7, 2, 1, 7, kOnes},
    {"5.3", "lock or [%r1], %r2", 0xf0, 7, 0x10f, 0x1ff, 7, 0x10f},
    {"5.3", "lock fetch or [%r1], %r2", 0xf0, 7, 0x10f, 0x1ff, 7, 0xf0},
    {"5.3", "lock and [%r1], %r2", 0xf0ff, 7, 0x1ff0, 0x10f0, 7, 0x1ff0},
    {"5.3", "lock fetch and [%r1], %r2", 0xf0ff, 7, 0x1ff0, 0x10f0, 7, 0xf0ff},
    {"5.3", "lock xor [%r1], %r2", 0xff, 7, kOnes, kOnes ^ 0xff, 7, kOnes},
    {"5.3", "lock fetch xor [%r1], %r2", 0xff, 7, kOnes, kOnes ^ 0xff, 7, 0xff},
    {"5.3", "lock xchg [%r1], %r2", kLeast, 7, kMost, kMost, 7, kLeast},
    {"5.3", "lock cmpxchg [%r1], %r2", kLeast, kLeast, 5, 5, kLeast, 5},
    {"5.3", "lock cmpxchg [%r1], %r2", kLeast, 0, 5, kLeast, kLeast, 5},
    {"5.3", "lock add32 [%r1], %r2", 0xffffffff, 7, 0x100000002, 1, 7, 0x100000002},
    {"5.3", "lock fetch add32 [%r1], %r2", 0xffffffff, 7, 0x100000002, 1, 7, 0xffffffff},
    {"5.3", "lock fetch or32 [%r1], %r2", 0x80000000, 7, 0xff00000001, 0x80000001, 7, 0x80000000},
    {"5.3", "lock fetch and32 [%r1], %r2", 0xffffffff, 7, kLeast, 0, 7, 0xffffffff},
    {"5.3", "lock fetch xor32 [%r1], %r2", 0xcccccccc, 7, kOnes, 0x33333333, 7, 0xcccccccc},
    {"5.3", "lock xchg32 [%r1], %r2", 0x80000000, 7, kOnes, 0xffffffff, 7, 0x80000000},
    {"5.3", "lock cmpxchg32 [%r1], %r2", 0x80000000, 0xabc80000000, 5, 5, 0x80000000, 5},
    {"5.3", "lock cmpxchg32 [%r1], %r2", 0x80000000, 0x80000001, 5, 0x80000000, 0x80000000, 5},
});

}  // namespace farcall::bpf
