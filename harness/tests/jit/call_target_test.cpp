#include "jit/call_target.hpp"

#include <gtest/gtest.h>

#include "tests/model/samples.hpp"

namespace farcall::jit::call_target_test {
namespace {

using model::CallScheme;
using model::LinkedProgram;

TEST(CallTarget, OfAux64IsInTheSideTable) {
  LinkedProgram linked = model::samples::linked();
  linked.side_table = {{0x1234}};  // not the callee's place: the encoding is what counts
  EXPECT_EQ(call_target(linked, 0), GuestAddress{0x1234});
}

TEST(CallTarget, OfImm32IsTheImmediateFromTheCallBase) {
  LinkedProgram linked = model::samples::linked();
  linked.scheme = CallScheme::imm32;
  linked.program.slots[0].imm = -0x100;
  EXPECT_EQ(call_target(linked, 0), (GuestAddress{0xc000'0000'000f'ff00}));
  // Truncation is the encoder's affair; reading extends the sign.
  linked.program.slots[0].imm = INT32_MIN;
  EXPECT_EQ(call_target(linked, 0), (GuestAddress{0xbfff'ffff'8010'0000}));
}

TEST(CallTarget, OfTableIsTheAddressOfTheIndex) {
  LinkedProgram linked = model::samples::linked();
  linked.scheme = CallScheme::table;
  linked.addresses = {{0x1000}, {0x2000}};
  linked.program.slots[0].imm = 0;  // not the callee's number: the encoding is what counts
  EXPECT_EQ(call_target(linked, 0), GuestAddress{0x1000});
  linked.program.slots[0].imm = 1;
  EXPECT_EQ(call_target(linked, 0), GuestAddress{0x2000});
}

TEST(CallTarget, OfPair64IsTheSecondSlotAsANumberOfTheProgramsOrder) {
  LinkedProgram linked = model::samples::linked();
  linked.scheme = CallScheme::pair64;
  linked.program.slots.insert(
      linked.program.slots.begin() + 1,
      {.opcode = 0xef, .dst = 0xd, .src = 0xc, .offset = -0x7655, .imm = 0x01234567});
  EXPECT_EQ(call_target(linked, 0), GuestAddress{0x0123'4567'89ab'cdef});
  linked.endian = model::Endian::big;  // registers are in the other nibbles
  EXPECT_EQ(call_target(linked, 0), GuestAddress{0xefdc'89ab'0123'4567});
}

}  // namespace
}  // namespace farcall::jit::call_target_test
