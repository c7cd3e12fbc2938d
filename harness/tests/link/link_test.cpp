#include "link/link.hpp"

#include <gtest/gtest.h>

#include <memory>

#include "bpf/assembler.hpp"

namespace farcall::link {
namespace {

constexpr GuestAddress kCallBase = {0xc000'0000'0010'0000};

// main calls callee twice, callee calls main's neighbour `leaf` once.
model::Cell cell(model::CallScheme scheme, GuestAddress callee) {
  const auto program = bpf::assemble(
      "call local callee\ncall local callee\nexit\ncallee:\ncall local leaf\nexit\nleaf:\nmov %r0, "
      "1\nexit\n",
      {"link.case", 1, 1});
  model::Cell cell{
      .case_path = "link.case",
      .program = std::make_shared<const bpf::Program>(program.value()),
      .placement = {.functions = {kCallBase, callee, kCallBase + 0x1000}, .call_base = kCallBase}};
  cell.axes.call = scheme;
  return cell;
}

TEST(Link, Aux64LeavesTheProgramAloneAndKeepsOneAddressACall) {
  const GuestAddress callee = {0xc008'0000'0012'a468};
  const model::Cell source = cell(model::CallScheme::aux64, callee);
  const auto linked = link_program(source);
  ASSERT_TRUE(linked.has_value());
  EXPECT_EQ(linked.value().program, *source.program);
  EXPECT_EQ(linked.value().side_table,
            (std::vector<GuestAddress>{callee, callee, kCallBase + 0x1000}));
  EXPECT_EQ(linked.value().calls[1].target, callee);
  EXPECT_EQ(linked.value().calls[2].site, (bpf::CallSite{1, 0}));
}

TEST(Link, Imm32KeepsTheDistanceFromTheCallBaseAndMovesTheDisplacement) {
  const model::Cell source = cell(model::CallScheme::imm32, kCallBase + 0x2000);
  const auto linked = link_program(source);
  ASSERT_TRUE(linked.has_value());
  const std::vector<bpf::Slot>& slots = linked.value().program.slots;
  EXPECT_EQ(slots[0].imm, 0x2000);
  EXPECT_EQ(slots[0].offset, 2);  // slot 3 from slot 1
  EXPECT_EQ(slots[1].offset, 1);
  EXPECT_EQ(slots[3].imm, 0x1000);
  EXPECT_EQ(jit_target(linked.value(), 0), kCallBase + 0x2000);
  EXPECT_EQ(interpreter_view(linked.value()), *source.program);
}

struct Limit {
  std::int64_t from_base;
  bool reachable;
};

class Imm32Limit : public testing::TestWithParam<Limit> {};

TEST_P(Imm32Limit, IsThatOfASigned32BitNumber) {
  const auto distance = static_cast<Displacement>(GetParam().from_base);
  const auto linked = link_program(cell(model::CallScheme::imm32, kCallBase + distance));
  ASSERT_EQ(linked.has_value(), GetParam().reachable);
  if (linked) {
    EXPECT_EQ(jit_target(linked.value(), 0), kCallBase + distance);
  } else {
    EXPECT_EQ(linked.error().code, ErrorCode::call_out_of_range);
    EXPECT_EQ(linked.error().site, "main[0]");
  }
}

INSTANTIATE_TEST_SUITE_P(BothSides, Imm32Limit,
                         testing::Values(Limit{0x7fff'fffc, true}, Limit{0x8000'0000, false},
                                         Limit{-0x8000'0000LL, true}, Limit{-0x8000'0004LL, false},
                                         Limit{0x8'0000'0000'0000, false}));

TEST(Link, Imm32RefusesADisplacementThatDoesNotFitItsOffset) {
  // The kernel truncates here (58a8f3e2501d); slots between the call and its callee: 32768.
  std::string text = "call local far\nexit\n";
  for (int i = 0; i < 32'767; ++i) {
    text += "mov %r0, 0\n";
  }
  const auto program = bpf::assemble(text + "exit\nfar:\nexit\n", {"long.case", 1, 1});
  ASSERT_TRUE(program.has_value());
  model::Cell source = cell(model::CallScheme::imm32, kCallBase + 0x2000);
  source.program = std::make_shared<const bpf::Program>(program.value());
  source.placement.functions = {kCallBase, kCallBase + 0x10'0000};
  const auto linked = link_program(source);
  ASSERT_FALSE(linked.has_value());
  EXPECT_EQ(linked.error().code, ErrorCode::call_out_of_range);
  source.axes.call = model::CallScheme::aux64;
  EXPECT_TRUE(link_program(source).has_value());
}

TEST(Link, ASchemeThatIsNotThereYetIsRefused) {
  const auto linked = link_program(cell(model::CallScheme::table, kCallBase));
  ASSERT_FALSE(linked.has_value());
  EXPECT_EQ(linked.error().code, ErrorCode::case_unsupported);
}

}  // namespace
}  // namespace farcall::link
