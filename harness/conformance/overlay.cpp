// The suite's expectations are what a little-endian machine makes of its programs. These are what a
// big-endian one makes of those that depend on it, worked out from the file's text and the RFC.
#include "conformance/conformance.hpp"

namespace farcall::conformance {
namespace {

constexpr std::uint64_t kLeast = 0x8000'0000'0000'0000;
constexpr std::uint64_t kMinus128 = 0xffff'ffff'ffff'ff80;

// A word at [r10-8] is the upper half of the doubleword that was stored there. Programs which speak
// of its lower half come to something else than they compare with, and leave with what is in r0.
constexpr auto kOverlay = std::to_array<OverlayRow>({
    {"be16-high", 0x1122, 0x7788,
     "the load gives 0x1122334455667788, which be16 need not swap: its low 16 bits are left"},
    {"be32-high", 0x11223344, 0x55667788,
     "the load gives 0x1122334455667788, which be32 need not swap: its low 32 bits are left"},
    {"ldxdw", 0x8877665544332211, 0x1122334455667788,
     "the bytes 11 … 88 are read with the first one as the most significant"},
    {"ldxh", 0x2211, 0x1122, "the bytes 11 22 are read with the first one as the most significant"},
    {"ldxw", 0x44332211, 0x11223344,
     "the bytes 11 … 44 are read with the first one as the most significant"},
    {"le16-high", 0x1122, 0xbbcc,
     "the load gives 0x221100ffeeddccbb; le16 swaps its low 16 bits, cc bb"},
    {"le32-high", 0x11223344, 0xddeeff00,
     "the load gives 0x4433221100ffeedd; le32 swaps its low half, 00 ff ee dd"},
    {"lock_add32", 0, 0x123456789abcdef1,
     "1 is added to the upper half, 0x12345678; r0 is what the program compares with"},
    {"lock_and32", 0, 0x003400789abcdef0,
     "the upper half becomes 0x12345678 & 0x00ff00ff = 0x00340078; r0 is the doubleword"},
    {"lock_cmpxchg32", 0, 0x12345678,
     "r0 is 0x12345678, as is the upper half: the exchange that is to fail succeeds, and r0 is the "
     "old word instead of 0x9abcdef0"},
    {"lock_fetch_add32", 0, 0x123456789abcdef0,
     "the old word is 0x12345678, not the low half of r0"},
    {"lock_fetch_and32", 0, 0x123456789abcdef0,
     "the old word is 0x12345678, not the low half of r0"},
    {"lock_fetch_or32", 0, 0x1111111111001100,
     "both halves are 0x11001100, so the old word is right; the upper one becomes 0x11111111, and "
     "r0 is the doubleword"},
    {"lock_fetch_xor32", 0, 0x33333333cccccccc,
     "the upper half is inverted, and r0 is the doubleword"},
    {"lock_or32", 0, 0x1111111111001100,
     "the upper half becomes 0x11001100 | 0x00110011 = 0x11111111; r0 is the doubleword"},
    {"lock_xchg32", 0, 0x1111111122222222,
     "the upper half is exchanged, so the doubleword is 0x2222222211111111; r0 is what the program "
     "compares with"},
    {"lock_xor32", 0, 0x33333333cccccccc, "the upper half is inverted; r0 is the doubleword"},
    // The bytes are those of the least number on a little-endian machine, and 0x80 here.
    {"mul64-intmin-by-negone-imm", kLeast, kMinus128, "0x80 times -1"},
    {"mul64-intmin-by-negone-reg", kLeast, kMinus128, "0x80 times -1"},
    {"neg64-intmin-imm", kLeast, kMinus128, "0x80 negated"},
    {"neg64-intmin-reg", kLeast, kMinus128, "0x80 negated"},
    {"sdiv64-intmin-by-negone-imm", kLeast, kMinus128, "0x80 divided by -1"},
    {"sdiv64-intmin-by-negone-reg", kLeast, kMinus128, "0x80 divided by -1"},
    {"subnet", 1, 0,
     "clang compiled it for little-endian: the type field 08 00 is compared with 8 and is 0x800"},
    // These return 1 if all is as on a little-endian machine, else 0. RFC 9669 section 4.2: "be"
    // swaps there and does nothing on a big-endian one, "le" the other way round.
    {"rfc9669_be16", 1, 0, "be16 leaves 0x1122 as it is; the program expects it swapped"},
    {"rfc9669_be32", 1, 0, "be32 leaves 0x11223344 as it is; the program expects it swapped"},
    {"rfc9669_be64", 1, 0, "be64 leaves its operand as it is; the program expects it swapped"},
    {"rfc9669_le16", 1, 0, "le16 swaps 0x1122; the program expects it as it is"},
    {"rfc9669_le32", 1, 0, "le32 swaps 0x11223344; the program expects it as it is"},
    {"rfc9669_le64", 1, 0, "le64 swaps its operand; the program expects it as it is"},
    {"rfc9669_lock_cmpxchg32", 1, 0,
     "the exchange that is to fail succeeds, since the upper half is 0x12345678, as r0 is"},
    {"rfc9669_lock_xchg32", 1, 0,
     "the upper half is exchanged: the doubleword is 0x2222222211111111, not 0x1111111122222222"},
});

}  // namespace

std::span<const OverlayRow> overlay() {
  return kOverlay;
}

}  // namespace farcall::conformance
