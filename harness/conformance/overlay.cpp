// The suite's expectations are what a little-endian machine makes of its programs. These are what a
// big-endian one makes of those that depend on it, worked out from the file's text and the RFC.
#include "conformance/conformance.hpp"

namespace farcall::conformance {
namespace {

constexpr auto kOverlay = std::to_array<OverlayRow>({
    {"be16-high", 0x1122, 0x7788,
     "the load gives 0x1122334455667788, which be16 need not swap: its low 16 bits are left"},
    {"ldxdw", 0x8877665544332211, 0x1122334455667788,
     "the bytes 11 … 88 are read with the first one as the most significant"},
    {"le32-high", 0x11223344, 0xddeeff00,
     "the load gives 0x4433221100ffeedd; le32 swaps its low half, 00 ff ee dd"},
    {"lock_add32", 0, 0x123456789abcdef1,
     "the word at [r10-8] is the upper half of the doubleword there, 0x12345678: the sum is in the "
     "other half than the program expects, and it leaves with what it compared"},
    {"lock_fetch_xor32", 0, 0x33333333cccccccc,
     "likewise: the upper half is inverted, and the program leaves with what it loaded"},
    {"subnet", 1, 0,
     "clang compiled it for little-endian: the type field 08 00 is compared with 8 and is 0x800"},
});

}  // namespace

std::span<const OverlayRow> overlay() {
  return kOverlay;
}

}  // namespace farcall::conformance
