// One instruction at a time, against results worked out by hand from the Power ISA.
#include "decode/evaluate.hpp"

#include <gtest/gtest.h>

#include "ppc64/encoder.hpp"

namespace farcall::decode::evaluate_test {
namespace {

using ppc64::encode;
using ppc64::Op;
using enum ppc64::Gpr;

constexpr std::uint64_t kS = 0x123456789abcdef0;
constexpr std::uint64_t kOnes = ~std::uint64_t{0};

// r3 after `word`, with r3 = before, r4 = a, r5 = b.
std::uint64_t r3_after(std::uint32_t word, std::uint64_t a, std::uint64_t b = 0,
                       std::uint64_t before = 0) {
  KnownRegisters registers;
  registers.set(3, before);
  registers.set(4, a);
  registers.set(5, b);
  evaluate(*ppc64::find(word), word, registers);
  return registers.get(3).value_or(0xdeadbeefdeadbeef);
}

TEST(Evaluate, Arithmetic) {
  EXPECT_EQ(r3_after(encode<Op::addi>(r3, r4, -1), 0), kOnes);
  EXPECT_EQ(r3_after(encode<Op::addis>(r3, r4, -32768), 1), 0xffffffff80000001);
  EXPECT_EQ(r3_after(encode<Op::add>(r3, r4, r5), kOnes, 2), 1U);
  EXPECT_EQ(r3_after(encode<Op::subf>(r3, r4, r5), 3, 10), 7U);
  EXPECT_EQ(r3_after(encode<Op::subfic>(r3, r4, -5), 3), 0 - std::uint64_t{8});
  EXPECT_EQ(r3_after(encode<Op::neg>(r3, r4), 1), kOnes);
  EXPECT_EQ(r3_after(encode<Op::mulli>(r3, r4, -3), 7), 0 - std::uint64_t{21});
  EXPECT_EQ(r3_after(encode<Op::mulld>(r3, r4, r5), 1ULL << 40, 1ULL << 30), 0U);
  EXPECT_EQ(r3_after(encode<Op::mullw>(r3, r4, r5), 0xffffffff, 0x100000002), 0 - std::uint64_t{2});
}

TEST(Evaluate, Logic) {
  EXPECT_EQ(r3_after(encode<Op::and_>(r3, r4, r5), 0b1100, 0b1010), 0b1000U);
  EXPECT_EQ(r3_after(encode<Op::andc>(r3, r4, r5), 0b1100, 0b1010), 0b0100U);
  EXPECT_EQ(r3_after(encode<Op::or_>(r3, r4, r5), 0b1100, 0b1010), 0b1110U);
  EXPECT_EQ(r3_after(encode<Op::orc>(r3, r4, r5), 0b1100, 0b1010), ~std::uint64_t{0b0010});
  EXPECT_EQ(r3_after(encode<Op::xor_>(r3, r4, r5), 0b1100, 0b1010), 0b0110U);
  EXPECT_EQ(r3_after(encode<Op::nor>(r3, r4, r5), 0b1100, 0b1010), ~std::uint64_t{0b1110});
  EXPECT_EQ(r3_after(encode<Op::nand>(r3, r4, r5), 0b1100, 0b1010), ~std::uint64_t{0b1000});
  EXPECT_EQ(r3_after(encode<Op::eqv>(r3, r4, r5), 0b1100, 0b1010), ~std::uint64_t{0b0110});
  EXPECT_EQ(r3_after(encode<Op::ori>(r3, r4, 0xffff), 0), 0xffffU);
  EXPECT_EQ(r3_after(encode<Op::oris>(r3, r4, 0xffff), 0), 0xffff0000U);
  EXPECT_EQ(r3_after(encode<Op::andi_rc>(r3, r4, 0xff00), kS), 0xde00U);
  EXPECT_EQ(r3_after(encode<Op::andis_rc>(r3, r4, 0xff00), kS), 0x9a000000U);
  EXPECT_EQ(r3_after(encode<Op::extsb>(r3, r4), 0x1280), 0xffffffffffffff80);
  EXPECT_EQ(r3_after(encode<Op::extsh>(r3, r4), 0x18000), 0xffffffffffff8000);
  EXPECT_EQ(r3_after(encode<Op::extsw>(r3, r4), kS), 0xffffffff9abcdef0);
}

TEST(Evaluate, Shifts) {
  EXPECT_EQ(r3_after(encode<Op::sld>(r3, r4, r5), kS, 8), 0x3456789abcdef000U);
  EXPECT_EQ(r3_after(encode<Op::sld>(r3, r4, r5), kS, 64), 0U);
  EXPECT_EQ(r3_after(encode<Op::sld>(r3, r4, r5), kS, 128), kS);  // 7 bits of the count
  EXPECT_EQ(r3_after(encode<Op::srd>(r3, r4, r5), kS, 60), 1U);
  EXPECT_EQ(r3_after(encode<Op::srd>(r3, r4, r5), kS, 127), 0U);
  EXPECT_EQ(r3_after(encode<Op::srad>(r3, r4, r5), 1ULL << 63, 63), kOnes);
  EXPECT_EQ(r3_after(encode<Op::srad>(r3, r4, r5), 1ULL << 63, 64), kOnes);
  EXPECT_EQ(r3_after(encode<Op::sradi>(r3, r4, 33), 1ULL << 63), 0xffffffffc0000000);
  EXPECT_EQ(r3_after(encode<Op::slw>(r3, r4, r5), kS, 4), 0xabcdef00U);
  EXPECT_EQ(r3_after(encode<Op::slw>(r3, r4, r5), kS, 32), 0U);
  EXPECT_EQ(r3_after(encode<Op::srw>(r3, r4, r5), kS, 4), 0x09abcdefU);
  EXPECT_EQ(r3_after(encode<Op::sraw>(r3, r4, r5), kS, 4), 0xfffffffff9abcdef);
  EXPECT_EQ(r3_after(encode<Op::sraw>(r3, r4, r5), kS, 40), kOnes);
  EXPECT_EQ(r3_after(encode<Op::srawi>(r3, r4, 31), kS), kOnes);
}

TEST(Evaluate, Rotates) {
  EXPECT_EQ(r3_after(encode<Op::rldicl>(r3, r4, 0, 32), kS), 0x9abcdef0U);
  EXPECT_EQ(r3_after(encode<Op::rldicl>(r3, r4, 60, 4), kS), kS >> 4);
  EXPECT_EQ(r3_after(encode<Op::rldicr>(r3, r4, 32, 31), kS), 0x9abcdef000000000U);
  EXPECT_EQ(r3_after(encode<Op::rldicr>(r3, r4, 8, 63), kS), 0x3456789abcdef012U);
  EXPECT_EQ(r3_after(encode<Op::rldic>(r3, r4, 4, 32), kS), 0xabcdef00U);
  EXPECT_EQ(r3_after(encode<Op::rldimi>(r3, r4, 32, 0), kS, 0, 0x55), 0x9abcdef000000055U);
  EXPECT_EQ(r3_after(encode<Op::rldcl>(r3, r4, r5, 32), kS, 4), 0xabcdef01U);
  EXPECT_EQ(r3_after(encode<Op::rldcr>(r3, r4, r5, 31), kS, 4), 0x2345678900000000U);
  EXPECT_EQ(r3_after(encode<Op::rlwinm>(r3, r4, 8, 0, 31), kS), 0xbcdef09aU);
  EXPECT_EQ(r3_after(encode<Op::rlwinm>(r3, r4, 4, 24, 31), kS), 0x09U);
  // The mask goes around, over all of the upper half: both copies of the rotated word show.
  EXPECT_EQ(r3_after(encode<Op::rlwinm>(r3, r4, 0, 28, 3), kS), 0x9abcdef090000000U);
  EXPECT_EQ(r3_after(encode<Op::rlwnm>(r3, r4, r5, 0, 31), kS, 36), 0xabcdef09U);
  EXPECT_EQ(r3_after(encode<Op::rlwimi>(r3, r4, 8, 24, 31), kS, 0, 0x1122334455667788),
            0x112233445566779aU);
}

TEST(Evaluate, AnUnknownSourceMakesAnUnknownResult) {
  KnownRegisters registers;
  registers.set(3, 1);
  registers.set(5, 1);
  const std::uint32_t word = encode<Op::add>(r3, r4, r5);
  evaluate(*ppc64::find(word), word, registers);
  EXPECT_FALSE(registers.get(3));
  EXPECT_EQ(registers.get(5), 1U);
}

TEST(Evaluate, LinkAndCountRegisters) {
  KnownRegisters registers;
  registers.set(12, kS);
  for (const std::uint32_t word : {encode<Op::mtlr>(r12), encode<Op::mflr>(r7),
                                   encode<Op::mtctr>(r7), encode<Op::mfctr>(r8)}) {
    evaluate(*ppc64::find(word), word, registers);
  }
  EXPECT_EQ(registers.get(8), kS);
  EXPECT_EQ(registers.get(kLinkRegister), kS);
}

// Stores write no register; one with update moves its base.
TEST(Evaluate, Stores) {
  KnownRegisters registers;
  registers.set(1, 0x1000);
  registers.set(4, 5);
  const std::uint32_t plain = encode<Op::std_>(r4, 8, r1);
  evaluate(*ppc64::find(plain), plain, registers);
  EXPECT_EQ(registers.get(4), 5U);
  EXPECT_EQ(registers.get(1), 0x1000U);
  const std::uint32_t update = encode<Op::stdu>(r1, -64, r1);
  evaluate(*ppc64::find(update), update, registers);
  EXPECT_FALSE(registers.get(1));
}

TEST(Evaluate, ASystemCallKeepsWhatACallKeeps) {
  KnownRegisters registers;
  registers.set(3, 1);
  registers.set(30, 2);
  registers.set(kCountRegister, 3);
  const std::uint32_t word = encode<Op::sc>(0);
  evaluate(*ppc64::find(word), word, registers);
  EXPECT_FALSE(registers.get(3));
  EXPECT_FALSE(registers.get(kCountRegister));
  EXPECT_EQ(registers.get(30), 2U);
}

}  // namespace
}  // namespace farcall::decode::evaluate_test
