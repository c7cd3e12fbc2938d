#include "check/blinding_findings.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bpf/assembler.hpp"

namespace farcall::check::blinding_findings_test {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

std::vector<bpf::Slot> slots_of(const char* text) {
  return bpf::assemble(text, {.file = "test", .line = 1}).value().slots;
}

TEST(Blinding, IsOfConstantsThatAProgrammerChooses) {
  EXPECT_EQ(blindable(slots_of("mov %r0, 5\n"
                               "add32 %r0, 7\n"
                               "lddw %r1, 0x1234567855667788\n"
                               "stdw [%r10-8], 3\n"
                               "jeq %r0, 9, end\n"
                               "end: exit\n")),
            5U);
  // Shifts, nothing at all, registers, displacements.
  EXPECT_EQ(blindable(slots_of("mov %r0, 0\n"
                               "lsh %r0, 3\n"
                               "mov %r1, %r0\n"
                               "ldxdw %r2, [%r10-8]\n"
                               "ja end\n"
                               "end: exit\n")),
            0U);
}

// As Linux 6.1.176's JIT makes it of mov %r0, 0x12345678: lis and ori; blinded, r12 gets
// 0x9abcdef0 ^ 0x12345678, that is 0x88888888, and is xored with 0x9abcdef0.
const std::vector<std::uint32_t> kPlain = {0x3d001234, 0x61085678, 0x4e800020};
const std::vector<std::uint32_t> kBlinded = {0x3d808888, 0x618c8888, 0x698cdef0,
                                             0x6d8c9abc, 0x7d886378, 0x4e800020};

BlindedFunction function_with(const std::vector<std::uint32_t>& code) {
  const std::vector<bpf::Slot> slots = slots_of("mov %r0, 0x12345678\nexit\n");
  return {.name = "main", .source = slots, .dumped = slots, .plain = kPlain, .blinded = code};
}

TEST(Blinding, CodeWithoutTheConstantIsBlinded) {
  EXPECT_THAT(blinding_findings(std::vector{function_with(kBlinded)}), IsEmpty());
}

TEST(Blinding, CodeAsWithoutHardeningIsNot) {
  const auto findings = blinding_findings(std::vector{function_with(kPlain)});
  ASSERT_THAT(findings, SizeIs(2));
  EXPECT_EQ(findings[0].code, ErrorCode::jit_refused);
  EXPECT_THAT(findings[0].text, HasSubstr("0x12345678 is in its code"));
  EXPECT_THAT(findings[1].text, HasSubstr("its code has 0 of these, and 0 without hardening"));
}

// As on hash with pages of 4 KiB, where memory and code share the upper half of their addresses.
TEST(Blinding, HalfOfACalleesAddressMayBeThere) {
  std::vector<std::uint32_t> code = kBlinded;
  code.insert(code.begin(), kPlain.begin(), kPlain.begin() + 2);
  BlindedFunction function = function_with(code);
  EXPECT_THAT(blinding_findings(std::vector{function}), SizeIs(1));
  function.callees = {{0x1234'5678'0000'6e18}};
  EXPECT_THAT(blinding_findings(std::vector{function}), IsEmpty());
}

TEST(Blinding, AConstantInLongerCodeIsFoundInEitherOrder) {
  std::vector<std::uint32_t> code = kBlinded;
  code.insert(code.begin(), {0x60635678, 0x64631234});  // ori, oris
  const auto findings = blinding_findings(std::vector{function_with(code)});
  ASSERT_THAT(findings, SizeIs(1));
  EXPECT_THAT(findings[0].text, HasSubstr("0x12345678 is in its code"));
}

TEST(Blinding, ADumpShowsItByTheRegisterThatProgramsDoNotHave) {
  EXPECT_FALSE(is_blinded_dump(slots_of("mov %r0, 0x12345678\nexit\n")));
  EXPECT_TRUE(is_blinded_dump(std::vector{bpf::Slot{.opcode = 0xb7, .dst = 11, .imm = 1}}));
}

}  // namespace
}  // namespace farcall::check::blinding_findings_test
