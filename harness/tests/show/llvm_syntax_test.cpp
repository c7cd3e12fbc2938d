// Expectations are what LLVM 22 prints of these words: LLVMDisasmInstruction() for powerpc64le and
// pwr10 with LLVMDisassembler_Option_PrintImmHex, as the kernel's jit_disasm_helpers.c calls it.
#include "show/llvm_syntax.hpp"

#include <gtest/gtest.h>

#include <array>

namespace farcall::show::llvm_syntax_test {
namespace {

struct Row {
  std::uint32_t word;
  const char* text;
};

constexpr Row kRows[] = {
    {0x7c0802a6, "mflr 0"},
    {0xf8010010, "std 0, 16(1)"},
    {0xf821fdb1, "stdu 1, -592(1)"},
    {0x38600001, "li 3, 1"},
    {0x3d80c000, "lis 12, -16384"},
    {0x618c0001, "ori 12, 12, 1"},
    {0x798c07c6, "sldi 12, 12, 32"},
    {0x658c0001, "oris 12, 12, 1"},
    {0x60000000, "nop"},
    {0x7d8903a6, "mtctr 12"},
    {0x4e800421, "bctrl"},
    {0x7c681b78, "mr\t8, 3"},
    {0x7c681b79, "mr.\t8, 3"},
    {0xe84d0010, "ld 2, 16(13)"},
    {0x41820010, "bt\t2, .+16"},
    {0x40820010, "bf\t2, .+16"},
    {0x419e0008, "bt\t30, .+8"},
    {0x409d0008, "bf\t29, .+8"},
    {0x41c2fff8, "bt-\t2, .-8"},
    {0x42000010, "bdnz .+16"},
    {0x4d820020, "bclr\t12, 2"},
    {0x4e800020, "blr"},
    {0x4e800420, "bctr"},
    {0x429f0005, "bcl 20, 31, .+4"},
    {0x48000010, "b .+16"},
    {0x4bfffff0, "b .-16"},
    {0x48010001, "bl .+65536"},
    {0x2c230001, "cmpdi\t3, 1"},
    {0x2f830001, "cmpwi 7, 3, 1"},
    {0x7c232040, "cmpld\t3, 4"},
    {0x7f832040, "cmplw 7, 3, 4"},
    {0x7c642850, "sub\t3, 5, 4"},
    {0x7c642851, "sub.\t3, 5, 4"},
    {0x7c6400d0, "neg 3, 4"},
    {0x1c63000a, "mulli 3, 3, 10"},
    {0x78640020, "clrldi\t4, 3, 32"},
    {0x7863e102, "rldicl 3, 3, 60, 4"},
    {0x78843664, "sldi 4, 4, 6"},
    {0x5484103a, "slwi 4, 4, 2"},
    {0x5484c23e, "srwi 4, 4, 8"},
    {0x5484043e, "clrlwi\t4, 4, 16"},
    {0x548407fe, "clrlwi\t4, 4, 31"},
    {0x7ca01828, "lwarx 5, 0, 3"},
    {0x7ca0192d, "stwcx. 5, 0, 3"},
    {0x7c0004ac, "sync"},
    {0x7c2004ac, "lwsync"},
    {0x80640004, "lwz 3, 4(4)"},
    {0x90830000, "stw 4, 0(3)"},
    {0x7c64282e, "lwzx 3, 4, 5"},
    {0x7c632378, "or 3, 3, 4"},
    {0x7c632038, "and 3, 3, 4"},
    {0x7c63239e, "isel 3, 3, 4, 14"},
    {0x7fe00008, "trap"},
    {0x7c64289e, "iseleq\t3, 4, 5"},
    {0x7c641e74, "sradi 4, 3, 3"},
    {0x7c6407b4, "extsw 4, 3"},
};

TEST(LlvmSyntax, IsWhatLlvmPrints) {
  for (const Row& row : kRows) {
    EXPECT_EQ(llvm_syntax(std::array{row.word}), row.text);
  }
}

TEST(LlvmSyntax, OfPrefixedInstructions) {
  EXPECT_EQ(llvm_syntax(std::array{0x06000001U, 0x3860fffeU}), "pli 3, 131070");
  EXPECT_EQ(llvm_syntax(std::array{0x0613ffffU, 0x3980fffeU}), "paddi 12, 0, -2, 1");
  EXPECT_EQ(llvm_syntax(std::array{0x06000001U, 0x3864fffeU}), "paddi 3, 4, 131070, 0");
}

TEST(LlvmSyntax, LeavesNumbersOpen) {
  const auto open = [](auto... words) { return llvm_syntax(std::array{words...}, "{{.*}}"); };
  EXPECT_EQ(open(0x3d80c000U), "lis 12, {{.*}}");
  EXPECT_EQ(open(0x618c0001U), "ori 12, 12, {{.*}}");
  EXPECT_EQ(open(0xe84d0010U), "ld 2, {{.*}}(13)");
  EXPECT_EQ(open(0x48010001U), "bl {{.*}}");
  EXPECT_EQ(open(0x41820010U), "bt\t2, {{.*}}");
  EXPECT_EQ(open(0x06100001U, 0x3980fffeU), "paddi 12, 0, {{.*}}, 1");
  EXPECT_EQ(llvm_syntax(std::array{0x48010003U}), "bla {{.*}}");
}

TEST(LlvmSyntax, OfNoInstructionIsNothing) {
  EXPECT_EQ(llvm_syntax(std::array{0x00123456U}), std::nullopt);
}

}  // namespace
}  // namespace farcall::show::llvm_syntax_test
