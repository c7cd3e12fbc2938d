#include "ppc64/encoder.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <stdexcept>
#include <vector>

#include "ppc64/abi.hpp"
#include "ppc64/prefixed.hpp"

namespace farcall::ppc64::encoder_test {
namespace {

using enum Gpr;

// Words put together by hand from the field diagrams of the Power ISA.
TEST(Encoder, WordsOfTheManual) {
  EXPECT_EQ(encode<Op::addi>(r3, r4, -8), 0x3864fff8U);
  EXPECT_EQ(encode<Op::addi>(r3, kZero, 5), 0x38600005U);
  EXPECT_EQ(encode<Op::addis>(r12, kZero, -16376), 0x3d80c008U);
  EXPECT_EQ(encode<Op::ori>(r12, r12, 0xffff), 0x618cffffU);
  EXPECT_EQ(encode<Op::rldicr>(r12, r12, 32, 31), 0x798c07c6U);
  EXPECT_EQ(encode<Op::rldicl>(r8, r8, 0, 32), 0x79080020U);
  EXPECT_EQ(encode<Op::sradi>(r4, r3, 37), 0x7c642e76U);
  EXPECT_EQ(encode<Op::rlwinm>(r4, r3, 5, 6, 7), 0x5464298eU);
  EXPECT_EQ(encode<Op::mtctr>(r12), 0x7d8903a6U);
  EXPECT_EQ(encode<Op::mflr>(r0), 0x7c0802a6U);
  EXPECT_EQ(encode<Op::mtlr>(r0), 0x7c0803a6U);
  EXPECT_EQ(encode<Op::bcctrl>(kBranchAlways, CrBit{0}, 0), 0x4e800421U);
  EXPECT_EQ(encode<Op::bclr>(kBranchAlways, CrBit{0}, 0), 0x4e800020U);
  EXPECT_EQ(encode<Op::bc>(kBranchIfTrue, cr_bit(CrField::cr0, Condition::eq), 8), 0x41820008U);
  EXPECT_EQ(encode<Op::bc>(kBranchIfFalse, cr_bit(CrField::cr7, Condition::eq), -4), 0x409efffcU);
  EXPECT_EQ(encode<Op::b>(-4), 0x4bfffffcU);
  EXPECT_EQ(encode<Op::bl>(0x1fffffc), 0x49fffffdU);
  EXPECT_EQ(encode<Op::ld>(r3, 16, r1), 0xe8610010U);
  EXPECT_EQ(encode<Op::stdu>(r1, -592, r1), 0xf821fdb1U);
  EXPECT_EQ(encode<Op::std_>(r31, -8, r1), 0xfbe1fff8U);
  EXPECT_EQ(encode<Op::lwz>(r3, -32768, kZero), 0x80608000U);
  EXPECT_EQ(encode<Op::cmpld>(CrField::cr0, r3, r4), 0x7c232040U);
  EXPECT_EQ(encode<Op::cmpdi>(CrField::cr0, r3, -1), 0x2c23ffffU);
  EXPECT_EQ(encode<Op::or_>(r3, r8, r8), 0x7d034378U);
  EXPECT_EQ(encode<Op::isel>(r3, kZero, r5, CrBit{2}), 0x7c60289eU);
  EXPECT_EQ(encode<Op::ldbrx>(r3, kZero, r9), 0x7c604c28U);
  EXPECT_EQ(encode<Op::tw>(31, r0, r0), kTrapWord);
}

TEST(Encoder, IsConstant) {
  static_assert(encode<Op::ori>(r0, r0, 0) == 0x60000000);
  SUCCEED();
}

TEST(Encoder, RefusesR0WhereItMeansZero) {
  EXPECT_THROW(encode<Op::addi>(r3, r0, 5), std::logic_error);
  EXPECT_THROW(encode<Op::ld>(r3, 8, r0), std::logic_error);
  EXPECT_NO_THROW(encode<Op::ldx>(r3, r9, r0));
}

TEST(Encoder, RefusesValuesThatDoNotFit) {
  EXPECT_THROW(encode<Op::addi>(r3, r4, 32768), std::logic_error);
  EXPECT_THROW(encode<Op::addi>(r3, r4, -32769), std::logic_error);
  EXPECT_THROW(encode<Op::ori>(r3, r4, -1), std::logic_error);
  EXPECT_THROW(encode<Op::ori>(r3, r4, 0x10000), std::logic_error);
  EXPECT_THROW(encode<Op::ld>(r3, 6, r4), std::logic_error);
  EXPECT_THROW(encode<Op::b>(0x2000000), std::logic_error);
  EXPECT_THROW(encode<Op::b>(2), std::logic_error);
  EXPECT_THROW(encode<Op::bc>(12, CrBit{0}, 0x8000), std::logic_error);
  EXPECT_THROW(encode<Op::bc>(12, CrBit{32}, 0), std::logic_error);
  EXPECT_THROW(encode<Op::rldicl>(r3, r4, 64, 0), std::logic_error);
  EXPECT_THROW(encode<Op::addi>(r3, r4, ~std::uint64_t{0}), std::logic_error);
  EXPECT_NO_THROW(encode<Op::b>(-0x2000000));
}

struct Limits {
  std::int64_t lowest;
  std::int64_t highest;
  std::int64_t step;
};

// From the ISA's field widths, apart from the table.
Limits limits_of(Operand operand) {
  switch (operand) {
    case Operand::si:
    case Operand::d:
      return {-0x8000, 0x7fff, 1};
    case Operand::ui:
      return {0, 0xffff, 1};
    case Operand::ds:
    case Operand::bd:
    case Operand::bd_abs:
      return {-0x8000, 0x7ffc, 4};
    case Operand::li:
    case Operand::li_abs:
      return {-0x2000000, 0x1fffffc, 4};
    case Operand::sh6:
    case Operand::mb6:
      return {0, 63, 1};
    case Operand::bf:
      return {0, 7, 1};
    case Operand::bh:
      return {0, 3, 1};
    case Operand::fxm:
      return {0, 255, 1};
    case Operand::lev:
      return {0, 127, 1};
    case Operand::sim:
      return {-16, 15, 1};
    default:
      return {0, 31, 1};
  }
}

TEST(Encoder, EveryOperandOfEveryRowIsCheckedAndReadBack) {
  for (const Instruction& row : kInstructions) {
    for (std::size_t i = 0; i < row.operand_count; ++i) {
      const Operand operand = row.operands[i];
      const Limits limits = limits_of(operand);
      auto values = std::vector<std::int64_t>(row.operand_count, 0);
      const auto with = [&](std::int64_t value) {
        values[i] = value;
        return encode(row.op, values);
      };
      for (const std::int64_t value : {limits.lowest, limits.lowest + limits.step,
                                       limits.highest - limits.step, limits.highest}) {
        const std::uint32_t word = with(value);
        EXPECT_EQ(extract(operand, word), value) << row.mnemonic;
        ASSERT_EQ(find(word), &row) << row.mnemonic;
      }
      for (const std::int64_t value :
           {limits.lowest - limits.step, limits.highest + limits.step, INT64_MIN, INT64_MAX}) {
        EXPECT_THROW(with(value), std::logic_error) << row.mnemonic << ' ' << value;
      }
      if (limits.step == 4) {
        EXPECT_THROW(with(2), std::logic_error) << row.mnemonic;
      }
    }
    EXPECT_THROW(encode(row.op, std::vector<std::int64_t>(row.operand_count + 1, 0)),
                 std::logic_error);
  }
}

TEST(InstructionTable, DoesNotKnowOtherWords) {
  EXPECT_EQ(find(0), nullptr);
  EXPECT_EQ(find(0xffffffff), nullptr);
  EXPECT_EQ(find(0x06100000), nullptr);             // prefix of pla
  EXPECT_EQ(find(0x7c232040 | 1U << 22), nullptr);  // cmpld with its reserved bit
  EXPECT_EQ(find(0x4e800421)->op, Op::bcctrl);
  EXPECT_EQ(find(0x7c632a15)->op, Op::add);  // add. r3,r3,r5
  EXPECT_TRUE(is_prefix(0x06100000));
  EXPECT_FALSE(is_prefix(0x38600000));
}

TEST(InstructionTable, OperandsSayWhatIsWritten) {
  EXPECT_TRUE(operand_info(instruction(Op::ld).operands[0]).writes);
  EXPECT_FALSE(operand_info(instruction(Op::std_).operands[0]).writes);
  EXPECT_TRUE(operand_info(instruction(Op::or_).operands[0]).writes);
  EXPECT_FALSE(operand_info(instruction(Op::or_).operands[0]).reads);
  EXPECT_TRUE(operand_info(instruction(Op::rldimi).operands[0]).reads);
  EXPECT_TRUE(operand_info(instruction(Op::stdu).operands[2]).writes);
}

// Words by hand from Power ISA 3.1, form MLS:D.
TEST(Prefixed, WordsOfTheManual) {
  using enum PrefixedOp;
  EXPECT_EQ(encode(paddi, {.rt = r12, .displacement = 0x100, .pc_relative = true}),
            (PrefixedWords{0x06100000, 0x39800100}));
  EXPECT_EQ(encode(paddi, {.rt = r3, .ra = r4, .displacement = -1}),
            (PrefixedWords{0x0603ffff, 0x3864ffff}));
  EXPECT_EQ(encode(paddi, {.rt = r3, .displacement = 0x1ffffffff}),
            (PrefixedWords{0x0601ffff, 0x3860ffff}));
  EXPECT_EQ(encode(paddi, {.rt = r31, .displacement = -0x200000000}),
            (PrefixedWords{0x06020000, 0x3be00000}));
}

TEST(Prefixed, RefusesWhatDoesNotFit) {
  using enum PrefixedOp;
  EXPECT_THROW(encode(paddi, {.rt = r3, .displacement = 0x200000000}), std::logic_error);
  EXPECT_THROW(encode(paddi, {.rt = r3, .displacement = -0x200000001}), std::logic_error);
  EXPECT_THROW(encode(paddi, {.rt = r3, .ra = r4, .pc_relative = true}), std::logic_error);
}

TEST(Prefixed, IsReadBack) {
  for (const std::int64_t displacement : {-0x200000000L, -1L, 0L, 0x8000L, 0x1ffffffffL}) {
    for (const bool pc_relative : {true, false}) {
      const PrefixedOperands operands{.rt = r7,
                                      .ra = pc_relative ? r0 : r9,
                                      .displacement = displacement,
                                      .pc_relative = pc_relative};
      const PrefixedWords words = encode(PrefixedOp::paddi, operands);
      ASSERT_NE(find(words), nullptr);
      EXPECT_EQ(operands_of(words), operands);
      EXPECT_EQ(find(words.prefix), nullptr);
      // A reserved bit, another type of prefix, another suffix.
      EXPECT_EQ(find(PrefixedWords{words.prefix | 1U << 19, words.suffix}), nullptr);
      EXPECT_EQ(find(PrefixedWords{words.prefix & ~(1U << 25), words.suffix}), nullptr);
      EXPECT_EQ(find(PrefixedWords{words.prefix, words.suffix ^ 1U << 26}), nullptr);
    }
  }
}

TEST(Prefixed, CrossesABoundaryInOneOfSixteenPlaces) {
  for (std::uint64_t at = 0; at < 128; at += 4) {
    EXPECT_EQ(crosses_boundary({at}), at == 60 || at == 124) << at;
  }
}

TEST(CallingConvention, Elfv1) {
  EXPECT_EQ(kElfv1.preserved_gpr, kElfv2.preserved_gpr);
  EXPECT_EQ(kElfv1.saved_lr, 16);
  EXPECT_EQ(kElfv1.saved_toc, 40);
  EXPECT_EQ(kElfv1.header_bytes, 48);
  EXPECT_EQ(kElfv1.parameter_bytes, 64);
  EXPECT_EQ(kElfv1.descriptor_bytes, 24);
  EXPECT_EQ(kElfv2.descriptor_bytes, 0);
}

TEST(CallingConvention, Elfv2) {
  EXPECT_EQ(kElfv2.preserved_gpr, 0xffffe002U);  // r1, r13 … r31
  EXPECT_EQ(kElfv2.preserved_cr, 0b11100);
  EXPECT_EQ(kElfv2.preserved_fpr, 0xffffc000U);
  EXPECT_EQ(kElfv2.preserved_vr, 0xfff00000U);
  EXPECT_EQ(kElfv2.saved_lr, 16);
  EXPECT_EQ(kElfv2.saved_toc, 24);
  EXPECT_EQ(kElfv2.header_bytes, 32);
}

}  // namespace
}  // namespace farcall::ppc64::encoder_test
