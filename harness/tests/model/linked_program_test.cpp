#include "model/linked_program.hpp"

#include <gtest/gtest.h>

#include "tests/model/samples.hpp"

namespace farcall::model {
namespace {

TEST(LinkedProgram, Aux64GivesTheJitTheSideTableAndTheInterpreterTheImmediate) {
  LinkedProgram linked = samples::linked();
  linked.side_table = {{0x1234}};  // not the callee's place: the encoding is what counts
  EXPECT_EQ(jit_target(linked, 0), GuestAddress{0x1234});
  EXPECT_EQ(interpreter_view(linked), linked.program);
}

TEST(LinkedProgram, Imm32GivesTheJitBasePlusImmediateAndTheInterpreterTheOffset) {
  LinkedProgram linked = samples::linked();
  linked.scheme = CallScheme::imm32;
  linked.program.slots[0].imm = -0x100;
  linked.program.slots[0].offset = 2;
  EXPECT_EQ(jit_target(linked, 0), (GuestAddress{0xc000'0000'000f'ff00}));
  // Truncation is the encoder's affair; reading extends the sign.
  linked.program.slots[0].imm = INT32_MIN;
  EXPECT_EQ(jit_target(linked, 0), (GuestAddress{0xbfff'ffff'8010'0000}));
  EXPECT_EQ(interpreter_view(linked), samples::linked().program);
}

}  // namespace
}  // namespace farcall::model
