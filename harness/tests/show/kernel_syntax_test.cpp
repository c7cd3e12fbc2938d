// Expectations are how kernel/bpf/disasm.c of Linux 6.12 prints these instructions, read from its
// format strings, not from farcall.
#include "show/kernel_syntax.hpp"

#include <gtest/gtest.h>

#include "bpf/assembler.hpp"

namespace farcall::show::kernel_syntax_test {
namespace {

struct Row {
  const char* assembly;
  const char* text;
};

constexpr Row kRows[] = {
    {"mov %r1, 7", "(b7) r1 = 7"},
    {"mov32 %r1, -7", "(b4) w1 = -7"},
    {"mov %r1, %r2", "(bf) r1 = r2"},
    {"add32 %r1, %r2", "(0c) w1 += w2"},
    {"sub %r1, 5", "(17) r1 -= 5"},
    {"arsh %r1, 3", "(c7) r1 s>>= 3"},
    {"div %r1, %r2", "(3f) r1 /= r2"},
    {"sdiv %r1, %r2", "(3f) r1 s/= r2"},
    {"smod32 %r1, 3", "(94) w1 s%= 3"},
    {"neg %r3", "(87) r3 = -r3"},
    {"neg32 %r3", "(84) w3 = -w3"},
    {"be16 %r3", "(dc) r3 = be16 r3"},
    {"bswap16 %r3", "(d7) r3 = bswap16 r3"},
    {"le64 %r3", "(d4) r3 = le64 r3"},
    {"ldxw %r1, [%r2+4]", "(61) r1 = *(u32 *)(r2 +4)"},
    {"ldxdw %r1, [%r10-8]", "(79) r1 = *(u64 *)(r10 -8)"},
    {"stxb [%r10-1], %r4", "(73) *(u8 *)(r10 -1) = r4"},
    {"sth [%r10-2], 9", "(6a) *(u16 *)(r10 -2) = 9"},
    {"lddw %r1, 0x123456789", "(18) r1 = 0x123456789"},
    {"lock add [%r1+0], %r2", "(db) lock *(u64 *)(r1 +0) += r2"},
    {"lock fetch add [%r1+0], %r2", "(db) r2 = atomic64_fetch_add((u64 *)(r1 +0), r2)"},
    {"jeq %r1, -1, L", "(15) if r1 == 0xffffffff goto pc+0"},
    {"jsgt32 %r1, %r2, L", "(6e) if w1 s> w2 goto pc+0"},
    {"jset %r1, %r2, L", "(4d) if r1 & r2 goto pc+0"},
    {"ja L", "(05) goto pc+0"},
    {"exit", "(95) exit"},
};

TEST(KernelSyntax, IsTheKernels) {
  for (const Row& row : kRows) {
    const auto program = bpf::assemble(std::string(row.assembly) + "\nL:\nexit\n", {"row", 1, 1});
    ASSERT_TRUE(program) << to_string(program.error());
    EXPECT_EQ(kernel_syntax(program.value().slots, 0, 0, ""), row.text) << row.assembly;
  }
}

TEST(KernelSyntax, CallsSayWhereAndWhom) {
  const std::vector<bpf::Slot> slots = {{.opcode = 0x85, .src = 1, .imm = 2}};
  EXPECT_EQ(kernel_syntax(slots, 0, 2, "name"), "(85) call pc+2#name");
  EXPECT_EQ(kernel_syntax(slots, 0, -40000, "name"), "(85) call pc-40000#name");
}

TEST(KernelSyntax, WhatIsNoInstructionIsAQuestionMark) {
  const std::vector<bpf::Slot> slots = {{.opcode = 0xff}, {.opcode = 0x18}};
  EXPECT_EQ(kernel_syntax(slots, 0, 0, ""), "(ff) ?");
  EXPECT_EQ(kernel_syntax(slots, 1, 0, ""), "(18) ?");  // cut short
}

}  // namespace
}  // namespace farcall::show::kernel_syntax_test
