#include "link/link.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "bpf/assembler.hpp"
#include "bpf/codec.hpp"
#include "jit/call_target.hpp"

namespace farcall::link::link_test {
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
  EXPECT_EQ(jit::call_target(linked.value(), 0), kCallBase + 0x2000);
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
    EXPECT_EQ(jit::call_target(linked.value(), 0), kCallBase + distance);
  } else {
    EXPECT_EQ(linked.error().code, ErrorCode::call_out_of_range);
    EXPECT_EQ(linked.error().site, "main[0]");
  }
}

INSTANTIATE_TEST_SUITE_P(BothSides, Imm32Limit,
                         testing::Values(Limit{0x7fff'fffc, true}, Limit{0x8000'0000, false},
                                         Limit{-0x8000'0000LL, true}, Limit{-0x8000'0004LL, false},
                                         Limit{0x8'0000'0000'0000, false}));

// A program whose `main` calls `far` over `between` slots.
model::Cell distant(model::CallScheme scheme, int between) {
  std::string text = "call local far\nexit\n";
  for (int i = 2; i < between; ++i) {
    text += "mov %r0, 0\n";
  }
  const auto program = bpf::assemble(text + "exit\nfar:\nexit\n", {"long.case", 1, 1});
  EXPECT_TRUE(program.has_value());
  model::Cell source = cell(scheme, kCallBase + 0x2000);
  source.program = std::make_shared<const bpf::Program>(program.value());
  source.placement.functions = {kCallBase, kCallBase + 0x10'0000};
  return source;
}

struct Distance {
  model::CallScheme scheme;
  int slots;
  bool reachable;
};

class DistanceLimit : public testing::TestWithParam<Distance> {};

// The kernel truncates here (58a8f3e2501d).
TEST_P(DistanceLimit, IsThatOfTheFieldThatKeepsIt) {
  const auto linked = link_program(distant(GetParam().scheme, GetParam().slots));
  ASSERT_EQ(linked.has_value(), GetParam().reachable);
  if (!linked) {
    EXPECT_EQ(linked.error().code, ErrorCode::call_out_of_range);
    EXPECT_EQ(linked.error().site, "main[0]");
    EXPECT_EQ(linked.error().where, (SourceLocation{"long.case", 1, 1}));
  }
}

// A pair is between itself and its callee.
INSTANTIATE_TEST_SUITE_P(BothSides, DistanceLimit,
                         testing::Values(Distance{model::CallScheme::imm32, 32767, true},
                                         Distance{model::CallScheme::imm32, 32768, false},
                                         Distance{model::CallScheme::table, 32767, true},
                                         Distance{model::CallScheme::table, 32768, false},
                                         Distance{model::CallScheme::pair64, 32766, true},
                                         Distance{model::CallScheme::pair64, 32767, false},
                                         Distance{model::CallScheme::aux64, 40000, true}));

TEST(Link, TableKeepsTheNumberOfTheCallee) {
  const GuestAddress callee = {0xc008'0000'0012'a468};
  const model::Cell source = cell(model::CallScheme::table, callee);
  const auto linked = link_program(source);
  ASSERT_TRUE(linked.has_value());
  const std::vector<bpf::Slot>& slots = linked.value().program.slots;
  EXPECT_EQ(slots[0], (bpf::Slot{.opcode = 0x85, .src = 1, .offset = 2, .imm = 1}));
  EXPECT_EQ(slots[1], (bpf::Slot{.opcode = 0x85, .src = 1, .offset = 1, .imm = 1}));
  EXPECT_EQ(slots[3], (bpf::Slot{.opcode = 0x85, .src = 1, .offset = 1, .imm = 2}));
  EXPECT_EQ(linked.value().addresses, source.placement.functions);
  EXPECT_TRUE(linked.value().side_table.empty());
  EXPECT_EQ(jit::call_target(linked.value(), 1), callee);
  EXPECT_EQ(interpreter_view(linked.value()), *source.program);
}

bpf::Program program_of(std::string_view text) {
  return bpf::assemble(text, {"source", 1, 1}).value();
}

model::Cell cell_of(std::string_view text, model::Endian endian,
                    std::vector<GuestAddress> functions) {
  model::Cell cell{.case_path = "link.case",
                   .program = std::make_shared<const bpf::Program>(program_of(text)),
                   .placement = {.functions = std::move(functions)}};
  cell.axes.call = model::CallScheme::pair64;
  cell.axes.endian = endian;
  return cell;
}

// Branches forwards and backwards over calls, from function to function, and a 64-bit immediate.
constexpr std::string_view kBranches =
    "mov %r6, 3\n"
    "again:\n"
    "call local callee\n"
    "jeq %r0, 9, over\n"
    "lddw %r1, 0x100000002\n"
    "call local callee\n"
    "over:\n"
    "sub %r6, 1\n"
    "jne %r6, 0, again\n"
    "ja done\n"
    "done:\n"
    "exit\n"
    "callee:\n"
    "mov %r0, 1\n"
    "call local leaf\n"
    "exit\n"
    "leaf:\n"
    "exit\n";

// The same as it runs once every call is followed by a slot that does nothing: what an assembler
// makes of it, distances and all.
constexpr std::string_view kBranchesGrown =
    "mov %r6, 3\n"
    "again:\n"
    "call local callee\n"
    "ja +0\n"
    "jeq %r0, 9, over\n"
    "lddw %r1, 0x100000002\n"
    "call local callee\n"
    "ja +0\n"
    "over:\n"
    "sub %r6, 1\n"
    "jne %r6, 0, again\n"
    "ja done\n"
    "done:\n"
    "exit\n"
    "callee:\n"
    "mov %r0, 1\n"
    "call local leaf\n"
    "ja +0\n"
    "exit\n"
    "leaf:\n"
    "exit\n";

TEST(LinkPair64, MovesAllThatCountsSlotsOverACall) {
  const model::Cell source =
      cell_of(kBranches, model::Endian::little, {{0x1000}, {0x2000}, {0x3000}});
  const auto made = link_program(source);
  ASSERT_TRUE(made.has_value());
  const model::LinkedProgram& linked = made.value();
  const bpf::Program expected = program_of(kBranchesGrown);
  EXPECT_EQ(interpreter_view(linked), expected);
  EXPECT_EQ(linked.program.functions, expected.functions);
  EXPECT_TRUE(is_consistent(linked));

  std::vector<bpf::SlotIndex> slots;
  for (const model::LinkedCall& call : linked.calls) {
    slots.push_back(call.slot);
    EXPECT_EQ(jit::call_target(linked, slots.size() - 1), call.target);
  }
  EXPECT_EQ(slots, (std::vector<bpf::SlotIndex>{1, 6, 13}));
  EXPECT_EQ(linked.calls[2].site, (bpf::CallSite{1, 0}));
}

TEST(LinkPair64, APairIsMarkDistanceAndAddress) {
  const GuestAddress callee = {0xc008'1234'5678'9abc};
  const auto linked =
      link_program(cell_of("call local f\nexit\nf:\nexit\n", model::Endian::little, {{0}, callee}));
  ASSERT_TRUE(linked.has_value());
  const bpf::Program& program = linked.value().program;
  ASSERT_EQ(program.slots.size(), 4U);
  EXPECT_EQ(program.slots[0], (bpf::Slot{.opcode = 0x85, .src = 1, .offset = 2, .imm = -1}));
  EXPECT_EQ(program.functions[0].end, 3U);
  EXPECT_EQ(program.functions[1].end, 4U);
}

TEST(LinkPair64, TheSecondSlotIsTheAddressInTheProgramsByteOrder) {
  using namespace testing;
  const GuestAddress callee = {0xc008'1234'5678'9abc};
  const auto second_slot = [&](model::Endian endian) {
    const auto linked =
        link_program(cell_of("call local f\nexit\nf:\nexit\n", endian, {{0}, callee})).value();
    EXPECT_EQ(jit::call_target(linked, 0), callee);
    std::vector<unsigned> bytes;
    for (const std::byte byte : bpf::encode(linked.program.slots[1], byte_order(endian))) {
      bytes.push_back(std::to_integer<unsigned>(byte));
    }
    return bytes;
  };
  EXPECT_THAT(second_slot(model::Endian::little),
              ElementsAre(0xbc, 0x9a, 0x78, 0x56, 0x34, 0x12, 0x08, 0xc0));
  EXPECT_THAT(second_slot(model::Endian::big),
              ElementsAre(0xc0, 0x08, 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc));
}

TEST(LinkPair64, EverySlotKeepsItsPlaceInTheSource) {
  const auto linked = link_program(
      cell_of("mov %r0, 0\ncall local f\nexit\nf:\nexit\n", model::Endian::little, {{0}, {4}}));
  std::vector<unsigned> lines;
  for (std::size_t slot = 0; slot < linked.value().program.origins.size(); ++slot) {
    lines.push_back(linked.value().program.origins.at(slot).line);
  }
  EXPECT_EQ(lines, (std::vector<unsigned>{1, 2, 2, 3, 5}));
}

TEST(LinkPair64, ACallByAFunctionsFirstSlotOfItselfIsAnOrdinaryOne) {
  // Its imm is −1 in the source, where that is a distance like any other.
  const model::Cell source = cell_of("call local f\nexit\nf:\ncall local f\nexit\n",
                                     model::Endian::little, {{0x1000}, {0x2000}});
  ASSERT_EQ(source.program->slots[2].imm, -1);
  for (const auto scheme : {model::CallScheme::imm32, model::CallScheme::aux64,
                            model::CallScheme::pair64, model::CallScheme::table}) {
    model::Cell one = source;
    one.axes.call = scheme;
    const auto linked = link_program(one);
    ASSERT_TRUE(linked.has_value());
    EXPECT_EQ(linked.value().calls.size(), 2U);
    EXPECT_EQ(jit::call_target(linked.value(), 1), GuestAddress{0x2000});
    const bpf::Program view = interpreter_view(linked.value());
    EXPECT_EQ(view.slots[linked.value().calls[1].slot].imm, -1);
  }
}

// Calls take two slots, and what lies after them moves.
TEST(LinkPair64, TablesLeadToTheSameInstructions) {
  const auto linked = link_program(
      cell_of(".table t before, after\nbefore:\ncall local f\nafter:\nexit\nf:\nexit\n",
              model::Endian::little, {{0x1000}, {0x2000}}));
  ASSERT_TRUE(linked.has_value());
  ASSERT_EQ(linked.value().program.code_pointers.size(), 2U);
  EXPECT_EQ(linked.value().program.code_pointers[0].slot, 0U);
  EXPECT_EQ(linked.value().program.code_pointers[1].slot, 2U);
  EXPECT_EQ(linked.value().program.slots[2].opcode, 0x95);  // exit
}

// A jump over one call and `between` other slots.
Result<model::LinkedProgram> jump_over(int between) {
  std::string text = "jeq %r1, 0, over\ncall local f\n";
  for (int i = 0; i < between; ++i) {
    text += "mov %r0, 0\n";
  }
  return link_program(
      cell_of(text + "over:\nexit\nf:\nexit\n", model::Endian::little, {{0x1000}, {0x2000}}));
}

TEST(LinkPair64, ABranchThatNoLongerReachesIsALocatedFailure) {
  const auto reaches = jump_over(32'765);
  ASSERT_TRUE(reaches.has_value()) << to_string(reaches.error());
  EXPECT_EQ(reaches.value().program.slots[0].offset, 32'767);
  const auto refused = jump_over(32'766);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::link_branch_out_of_range);
  EXPECT_EQ(refused.error().where, (SourceLocation{"source", 1, 1}));
  EXPECT_EQ(refused.error().site, "");
}

TEST(LinkPair64, ABranchBackwardsReachesOneSlotFarther) {
  const auto jump_back = [](int between) {
    std::string text = "again:\ncall local main\n";
    for (int i = 0; i < between; ++i) {
      text += "mov %r0, 0\n";
    }
    return link_program(
        cell_of(text + "jeq %r1, 0, again\nexit\n", model::Endian::little, {{0x1000}}));
  };
  const auto reaches = jump_back(32'765);
  ASSERT_TRUE(reaches.has_value());
  EXPECT_EQ(reaches.value().program.slots[32'767].offset, -32'768);
  EXPECT_FALSE(jump_back(32'766).has_value());
}

}  // namespace
}  // namespace farcall::link::link_test
