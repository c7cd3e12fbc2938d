#include "selection/edges.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "bpf/assembler.hpp"
#include "bpf/validator.hpp"
#include "run/pipeline.hpp"

namespace farcall::selection::edges_test {
namespace {

using testing::IsEmpty;

model::Cell cell(const std::string& name, const std::string& assembly) {
  model::Cell made;
  made.case_path = "x.case";
  made.name = name;
  made.program =
      std::make_shared<const bpf::Program>(bpf::assemble(assembly, {"x.case", 1, 1}).value());
  made.placement = {.functions = std::vector<GuestAddress>(callee_count(*made.program),
                                                           GuestAddress{0xc000'0000'0001'0000}),
                    .stack = {0xc000'0000'3000'0000},
                    .call_base = {0xc000'0000'0020'0000},
                    .toc = {0xc000'0000'0200'0000}};
  return made;
}

// Nothing in these cells says where it is.
std::vector<model::Cell> edges_of(const std::vector<model::Cell>& cells, LargePrograms large = {}) {
  return at_edges(
             cells,
             [&](std::size_t index,
                 const model::Placement& to) -> Result<std::optional<model::Cell>> {
               model::Cell cell = cells[index];
               cell.placement = to;
               return std::optional(std::move(cell));
             },
             large)
      .value();
}

const model::Cell* named(const std::vector<model::Cell>& cells, const std::string& name) {
  const auto found = std::ranges::find(cells, name, &model::Cell::name);
  return found == cells.end() ? nullptr : &*found;
}

constexpr const char* kTwoFunctions = "call local callee\nexit\ncallee:\nmov %r0, 1\nexit\n";

// Each pair of callees in one order and in the other, the entry before them and after. (Callees in
// order and before the entry are 32 MiB below it.)
TEST(Edges, HaveFunctionsInBothOrders) {
  const auto cells = edges_of(
      {cell("three", "call local a\nexit\na:\ncall local b\nexit\nb:\nmov %r0, 1\nexit\n")});
  std::set<std::vector<std::size_t>> orders;
  for (const model::Cell& cell : cells) {
    const std::vector<GuestAddress>& at = cell.placement.functions;
    std::vector<std::size_t> order = {0, 1, 2};
    std::ranges::sort(order, {}, [&](std::size_t i) { return at[i]; });
    orders.insert(order);
  }
  EXPECT_THAT(orders,
              testing::IsSupersetOf<std::vector<std::size_t>>({{0, 1, 2}, {0, 2, 1}, {2, 1, 0}}));
}

TEST(Edges, PlaceWhatTheProgramHas) {
  const auto cells = edges_of({cell("two", kTwoFunctions)});
  const model::Cell* const five = named(cells, "two@edge-callees-5-words");
  ASSERT_NE(five, nullptr);
  // Bits 32 to 47, 16 to 31 and 0 to 15 are all not 0.
  EXPECT_EQ(five->placement.functions.at(1), (GuestAddress{0xc008'0005'1234'8abc}));
  const model::Cell* const near = named(cells, "two@edge-callees-32-mib-less");
  ASSERT_NE(near, nullptr);
  EXPECT_EQ(bytes(near->placement.functions.at(1) - near->placement.functions.at(0)),
            (32 << 20) - 4);
  const auto entry_stack = [&](const std::string& name) {
    const model::Cell* const at_edge = named(cells, name);
    return run::prepare({.cell = *at_edge}, 0).job->entry.gpr[1];
  };
  EXPECT_EQ(entry_stack("two@edge-stack-4-gib"), 0xc000'0001'0000'0100U);
  EXPECT_EQ(entry_stack("two@edge-stack-4-gib-at-entry"), 0xc000'0001'0000'0000U);
  EXPECT_EQ(entry_stack("two@edge-stack-4-gib-below-count"), 0xc000'0001'0000'0010U);
  EXPECT_EQ(named(cells, "two@edge-helpers-toc-top"), nullptr);  // there are none
  EXPECT_THAT(edges_of({cell("one", "mov %r0, 1\nexit\n")}),
              testing::Each(
                  testing::Field(&model::Cell::name, testing::Not(testing::HasSubstr("callees")))));
}

TEST(Edges, ACaseIsPlacedOnceForEachMachine) {
  std::vector<model::Cell> cells = {cell("two@bl", kTwoFunctions),
                                    cell("two@abs64", kTwoFunctions)};
  cells[0].axes.reach = model::Reach::bl;
  const auto once = edges_of(cells);
  cells[0].axes.cpu = model::Cpu::power10;
  EXPECT_EQ(edges_of(cells).size(), 2 * once.size());
  EXPECT_NE(named(once, "two@bl-edge-stack-4-gib"), nullptr);
}

TEST(Edges, WhatIsExpectedToFailIsLeftOut) {
  model::Cell fails = cell("two", kTwoFunctions);
  fails.expected.failure = {.code = ErrorCode::call_out_of_range};
  EXPECT_THAT(edges_of({fails}), IsEmpty());
}

// Calls and addresses of the entry lead to where it begins, before the filler; all else is where it
// was.
TEST(Edges, AreProgramsAsLongAsBranchesReach) {
  const auto cells = edges_of({cell("twice",
                                    "mov %r0, 5\njeq %r1, 1, done\nmov %r1, 1\ncall local main\n"
                                    "call local callee\ndone:\nexit\ncallee:\nadd %r0, 1\nexit\n")},
                              {.most = 1});
  std::size_t longer = 0;
  for (const model::Cell& one : cells) {
    if (one.name.find("-over-") == std::string::npos) {
      continue;
    }
    ++longer;
    SCOPED_TRACE(one.name);
    ASSERT_TRUE(bpf::validate(*one.program));
    EXPECT_GT(one.program->functions.front().end, 8000U);
    const auto calls = bpf::pseudo_calls(*one.program);
    ASSERT_EQ(calls.size(), 2U);
    EXPECT_EQ(calls[0].callee, 0U);
    EXPECT_EQ(calls[1].callee, 1U);
  }
  EXPECT_EQ(longer, 8U);
}

TEST(Edges, HaveFewProgramsOf32MiBAndCountTheOthers) {
  LargePrograms large{.most = 1};
  const auto made = at_edges(
      {cell("a", kTwoFunctions), cell("b", kTwoFunctions)},
      [](std::size_t, const model::Placement& to) {
        model::Cell moved = cell("moved", kTwoFunctions);
        moved.placement = to;
        return Result<std::optional<model::Cell>>(std::move(moved));
      },
      large);
  ASSERT_TRUE(made);
  EXPECT_EQ(large.made, 1U);
  EXPECT_EQ(large.left_out, 1U);
  EXPECT_NE(named(made.value(), "a@edge-exit-over-931900-atomics"), nullptr);
  EXPECT_EQ(named(made.value(), "b@edge-exit-over-931900-atomics"), nullptr);
  EXPECT_NE(named(made.value(), "b@edge-jump-over-8188-words"), nullptr);
}

// Memory is at text+16M where a case does not say, and no edge is lost for it.
TEST(Edges, LeaveRoomForWhatIsWhereItIsByDefault) {
  const auto without = edges_of({cell("two", kTwoFunctions)});
  model::Cell with = cell("two", kTwoFunctions);
  with.memory = {
      {.name = "mem", .address = {0xc000'0000'0100'0000}, .bytes = std::vector<std::byte>(0x100)}};
  EXPECT_EQ(edges_of({with}).size(), without.size());
}

TEST(Edges, PartsDoNotLieOnEachOther) {
  model::Cell full = cell("two", kTwoFunctions);
  full.memory = {{.name = "mem",
                  .address = {0xc008'0000'0012'0000},
                  .bytes = std::vector<std::byte>(0x10000)}};
  const auto cells = edges_of({full});
  EXPECT_EQ(named(cells, "two@edge-callees-4-words"), nullptr);
  EXPECT_NE(named(cells, "two@edge-callees-5-words"), nullptr);
}

}  // namespace
}  // namespace farcall::selection::edges_test
