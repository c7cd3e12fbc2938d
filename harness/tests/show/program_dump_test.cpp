// What a dump gives away under each scheme: a table written by hand, scheme by scheme and mode by
// mode.
#include "show/program_dump.hpp"

#include <gmock/gmock.h>

#include "tests/show/support.hpp"

namespace farcall::show::program_dump_test {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

constexpr GuestAddress kCallBase = {0xc008'0000'0001'0000};

// caller_and_callee() as model/linked_program.hpp says that each scheme writes it, by hand. The
// callee is 0x10000 after the call base.
model::LinkedProgram linked(model::CallScheme scheme, model::Endian endian) {
  const GuestAddress target = kCallBase + 0x10000;
  model::LinkedProgram result{
      .scheme = scheme,
      .endian = endian,
      .program = caller_and_callee(),
      .addresses = {kMainAddress + 0x5000, target},
      .call_base = kCallBase,
      .calls = {{.site = {0, 0}, .slot = 0, .callee = 1, .target = target}}};
  bpf::Slot& call = result.program.slots[0];
  switch (scheme) {
    case model::CallScheme::imm32:
      call.offset = 1;
      call.imm = 0x10000;
      break;
    case model::CallScheme::aux64:
      result.side_table = {target};
      break;
    case model::CallScheme::pair64: {
      call.offset = 2;
      call.imm = -1;
      // Eight bytes c0 08 00 00 00 02 00 00 in the program's order.
      const bool big = endian == model::Endian::big;
      const bpf::Slot address = big ? bpf::Slot{.opcode = 0xc0, .dst = 0, .src = 8, .imm = 0x20000}
                                    : bpf::Slot{.opcode = 0,
                                                .dst = 0,
                                                .src = 0,
                                                .offset = 2,
                                                .imm = static_cast<std::int32_t>(0xc0080000)};
      result.program.slots.insert(result.program.slots.begin() + 1, address);
      result.program.functions = {{"main", 0, 3}, {"callee", 3, 5}};
      break;
    }
    case model::CallScheme::table:
      call.offset = 1;
      call.imm = 1;
      break;
  }
  return result;
}

ProgramDump dump(model::CallScheme scheme, JitMode mode,
                 model::Endian endian = model::Endian::little) {
  const bpf::Program source = caller_and_callee();
  return dump_program(linked(scheme, endian), tags(source, byte_order(endian), TagHash::sha1),
                      mode);
}

TEST(ProgramDump, SlotAndNameAreAlwaysThere) {
  for (const auto scheme : {model::CallScheme::imm32, model::CallScheme::aux64,
                            model::CallScheme::pair64, model::CallScheme::table}) {
    for (const JitMode mode : kJitModes) {
      const ProgramDump one = dump(scheme, mode);
      const auto calls = recover(one);
      ASSERT_EQ(calls.size(), 1U);
      EXPECT_EQ(calls[0].distance, scheme == model::CallScheme::pair64 ? 2 : 1);
      EXPECT_EQ(calls[0].callee, 1U);
      EXPECT_THAT(one.names, ElementsAre("bpf_prog_b2715c0f7f689679_main",
                                         "bpf_prog_8923dad831f6fb51_callee"));
    }
  }
}

TEST(ProgramDump, TheAddressIsThereWithTheJitOnOnly) {
  for (const auto endian : {model::Endian::little, model::Endian::big}) {
    for (const auto scheme :
         {model::CallScheme::imm32, model::CallScheme::pair64, model::CallScheme::table}) {
      EXPECT_EQ(recover(dump(scheme, JitMode::on, endian))[0].address, kCallBase + 0x10000);
      EXPECT_EQ(recover(dump(scheme, JitMode::off, endian))[0].address, std::nullopt);
      EXPECT_EQ(recover(dump(scheme, JitMode::restricted, endian))[0].address, std::nullopt);
    }
  }
}

TEST(ProgramDump, Aux64NeverGivesTheAddressAway) {
  for (const JitMode mode : kJitModes) {
    EXPECT_EQ(recover(dump(model::CallScheme::aux64, mode))[0].address, std::nullopt);
  }
}

TEST(ProgramDump, NothingOfAnAddressIsLeftWhenRestricted) {
  EXPECT_EQ(dump(model::CallScheme::imm32, JitMode::restricted).slots[0].imm, 0);
  EXPECT_EQ(dump(model::CallScheme::imm32, JitMode::restricted).call_base, GuestAddress{});
  EXPECT_EQ(dump(model::CallScheme::pair64, JitMode::restricted).slots[1], bpf::Slot{});
  const ProgramDump table = dump(model::CallScheme::table, JitMode::restricted);
  EXPECT_EQ(table.addresses.size(), 2U);
  EXPECT_THAT(table.addresses, Each(GuestAddress{}));
}

TEST(ProgramDump, ACallToNoFunctionHasNoCallee) {
  ProgramDump broken = dump(model::CallScheme::table, JitMode::on);
  broken.slots[0].offset = 2;
  broken.slots[0].imm = 77;
  EXPECT_EQ(recover(broken)[0].callee, std::nullopt);
  EXPECT_EQ(recover(broken)[0].address, std::nullopt);
}

}  // namespace
}  // namespace farcall::show::program_dump_test
