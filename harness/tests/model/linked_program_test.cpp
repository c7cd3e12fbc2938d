#include "model/linked_program.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/model/samples.hpp"

namespace farcall::model::linked_program_test {
namespace {

TEST(LinkedProgram, Aux64GivesTheInterpreterTheImmediate) {
  LinkedProgram linked = samples::linked();
  EXPECT_EQ(interpreter_view(linked), linked.program);
}

TEST(LinkedProgram, Imm32GivesTheInterpreterTheOffset) {
  LinkedProgram linked = samples::linked();
  linked.scheme = CallScheme::imm32;
  linked.program.slots[0].imm = -0x100;
  linked.program.slots[0].offset = 2;
  EXPECT_EQ(interpreter_view(linked), samples::linked().program);
}

TEST(LinkedProgram, TableGivesTheInterpreterTheOffset) {
  LinkedProgram linked = samples::linked();
  linked.scheme = CallScheme::table;
  linked.addresses = {{0x1000}, {0x2000}};
  linked.program.slots[0].imm = 1;
  linked.program.slots[0].offset = 2;
  EXPECT_EQ(interpreter_view(linked), samples::linked().program);
}

// `call local callee` as a pair, written by hand: slots 0 and 1.
LinkedProgram pair() {
  LinkedProgram linked = samples::linked();
  linked.scheme = CallScheme::pair64;
  linked.side_table = {};
  std::vector<bpf::Slot>& slots = linked.program.slots;
  slots[0] = {.opcode = 0x85, .src = 1, .offset = 3, .imm = -1};
  slots.insert(slots.begin() + 1,
               {.opcode = 0xef, .dst = 0xd, .src = 0xc, .offset = -0x7655, .imm = 0x01234567});
  linked.program.functions[0].end = 4;
  linked.program.functions[1].begin = 4;
  linked.program.functions[1].end = 6;
  return linked;
}

TEST(LinkedProgram, Pair64GivesTheInterpreterAJumpForTheSecondSlot) {
  const bpf::Program view = interpreter_view(pair());
  EXPECT_EQ(view.slots[0], (bpf::Slot{.opcode = 0x85, .src = 1, .imm = 3}));
  EXPECT_EQ(view.slots[1], (bpf::Slot{.opcode = 0x05}));
  EXPECT_EQ(bpf::pseudo_calls(view),
            (std::vector<bpf::PseudoCall>{{.site = {0, 0}, .slot = 0, .callee = 1}}));
}

TEST(LinkedProgram, CallsTakeTwoSlotsWithPair64Only) {
  LinkedProgram linked = pair();
  EXPECT_EQ(slots_at(linked, 0), 2U);
  EXPECT_EQ(slots_at(linked, 2), 1U);
  linked.scheme = CallScheme::table;
  EXPECT_EQ(slots_at(linked, 0), 1U);
  linked.program.slots[0] = {.opcode = 0x18};
  EXPECT_EQ(slots_at(linked, 0), 2U);
}

TEST(LinkedProgram, WhatDoesNotFitTogetherIsSeen) {
  EXPECT_TRUE(is_consistent(samples::linked()));
  EXPECT_TRUE(is_consistent(pair()));

  LinkedProgram no_mark = pair();
  no_mark.program.slots[0].imm = 3;
  EXPECT_FALSE(is_consistent(no_mark));

  LinkedProgram cut_off = pair();
  cut_off.calls[0].slot = 5;
  EXPECT_FALSE(is_consistent(cut_off));

  LinkedProgram jump_into = pair();
  jump_into.program.slots[2] = {.opcode = 0x05, .offset = -2};
  EXPECT_FALSE(is_consistent(jump_into));
  jump_into.program.slots[2].offset = -3;  // to the call itself
  EXPECT_TRUE(is_consistent(jump_into));

  LinkedProgram no_such_function = samples::linked();
  no_such_function.scheme = CallScheme::table;
  no_such_function.program.slots[0].imm = 2;
  EXPECT_FALSE(is_consistent(no_such_function));
  no_such_function.program.slots[0].imm = -1;
  EXPECT_FALSE(is_consistent(no_such_function));
  no_such_function.program.slots[0].imm = 1;
  EXPECT_TRUE(is_consistent(no_such_function));

  LinkedProgram short_table = samples::linked();
  short_table.side_table.clear();
  EXPECT_FALSE(is_consistent(short_table));
}

// Documents of every scheme come back as they were, the byte order from the cell.
TEST(LinkedProgram, PairsComeBackFromJson) {
  Document document = samples::document();
  document.cell.axes.endian = Endian::big;
  document.linked = pair();
  document.linked->endian = Endian::big;
  const auto read = read_document(to_json(document, "image").dump(), "pair.json");
  ASSERT_TRUE(read.has_value()) << to_string(read.error());
  EXPECT_EQ(read.value().linked, document.linked);

  document.linked->program.slots[2] = {.opcode = 0x05, .offset = -2};
  EXPECT_FALSE(read_document(to_json(document, "image").dump(), "pair.json").has_value());
}

}  // namespace
}  // namespace farcall::model::linked_program_test
