#include "stock/lines.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "stock/capture.hpp"
#include "stock/document.hpp"

namespace farcall::stock::lines_test {
namespace {

using model::CodeLine;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr GuestAddress kMain = {0xc008'0000'0010'0000};
constexpr std::uint32_t kNop = 0x60000000;

// r1 = 5; r2 = 64 bits; r1 += 0; r0 = 1; exit
bpf::Program loaded() {
  bpf::Program program;
  program.slots = {
      {.opcode = 0xb7, .dst = 1, .imm = 5}, {.opcode = 0x18, .dst = 2, .imm = 7}, {},
      {.opcode = 0x07, .dst = 1},           {.opcode = 0xb7, .imm = 1},           {.opcode = 0x95}};
  program.functions = {{.name = "main", .begin = 0, .end = 6}};
  return program;
}

// As Linux 6.1 makes it, with a prologue of two words, and without code of the addition.
model::CodeImage image() {
  model::CodeImage made;
  made.bpf_registers = {8, 3, 4, 5, 6, 7, 27, 28, 29, 30, 31};
  made.functions = {{.name = "main",
                     .address = kMain,
                     .words = {kNop, kNop,
                               0x38600005,              // 0: li r3,5
                               0x38800007, kNop, kNop,  // 1: li r4,7, filled up
                               0x39000001,              // 3: li r8,1
                               0xebe10088,              // the epilogue: ld r31,136(r1)
                               0x7d034378,              // mr r3,r8
                               0x4e800020},
                     .pass_words = {},
                     .lines = {}}};
  return made;
}

kernel::LineRow row(std::uint32_t slot, std::uint32_t word) {
  return {.slot = slot, .address = kMain + std::uint64_t{word} * 4, .loaded_slot = slot};
}

// Each row is of the slot before, that after the load of its end.
kernel::Answer told() {
  kernel::Answer answer;
  answer.program = loaded().slots;
  answer.lines = {row(0, 0), row(1, 2), row(3, 6), row(4, 6), row(5, 6)};
  return answer;
}

std::vector<FoundLines> found(const kernel::Answer& answer, const bpf::Program& dumped,
                              LineRows rows = LineRows::one_early) {
  return found_lines(loaded(), dumped, answer, image(), rows);
}

TEST(KernelLines, AreEachOfTheRowAfterAndLoadsAndTheEpilogueOfTheBytes) {
  const auto lines = found(told(), loaded());
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_THAT(lines[0].lines, ElementsAre(CodeLine{0, 2}, CodeLine{1, 3}, CodeLine{2, 6},
                                          CodeLine{3, 6}, CodeLine{4, 7}, CodeLine{5, 7}));
  EXPECT_EQ(lines[0].without, 0U);
  EXPECT_EQ(without_lines(lines), "");
}

TEST(KernelLines, OfAKernelThatIsRightAreItsOwn) {
  kernel::Answer right = told();
  right.lines = {row(0, 0), row(1, 3), row(3, 6), row(4, 6), row(5, 7)};
  const auto lines = found(right, loaded(), LineRows::exact);
  // What it has for the first instruction is where the function begins.
  EXPECT_THAT(lines[0].lines, ElementsAre(CodeLine{1, 3}, CodeLine{2, 6}, CodeLine{3, 6},
                                          CodeLine{4, 7}, CodeLine{5, 7}));
  EXPECT_EQ(lines[0].without, 1U);
}

TEST(KernelLines, WhatTheVerifierHasReplacedOrRemovedHasNone) {
  // Slot 4 of the dump was put in after that of the addition, slot 3.
  bpf::Program dumped = loaded();
  dumped.slots.insert(dumped.slots.begin() + 4, {.opcode = 0xbc, .dst = 1, .src = 1});
  dumped.functions[0].end = 7;
  kernel::Answer answer = told();
  answer.lines = {row(0, 0), row(1, 2), row(3, 6), row(4, 6), row(5, 6)};
  answer.lines[3].slot = 5;
  answer.lines[4].slot = 6;
  const auto replaced = found(answer, dumped);
  EXPECT_THAT(replaced[0].lines,
              ElementsAre(CodeLine{0, 2}, CodeLine{1, 3}, CodeLine{2, 6}, CodeLine{3, 6},
                          CodeLine{4, 7}, CodeLine{5, 7}));  // the row after the load has it, too
  answer = told();
  answer.lines.erase(answer.lines.begin() + 3);  // that of r0 = 1
  const auto removed = found(answer, loaded());
  EXPECT_EQ(removed[0].without, 1U);
  EXPECT_THAT(without_lines(removed), testing::HasSubstr("around 1 of 5 instructions"));
}

TEST(KernelLines, WhereNobodyKnowsHowToReadThemThereAreNone) {
  const auto lines = found(told(), loaded(), LineRows::not_told);
  EXPECT_EQ(lines[0].without, 4U);  // the last exit falls into the epilogue
}

// One call, in words 3 to 6, at slot 1; the last of them branches.
TEST(KernelLines, AreReadAsACallShows) {
  kernel::Answer answer;
  answer.program = {
      {.opcode = 0xb7}, {.opcode = 0x85, .imm = 5}, {.opcode = 0xb7}, {.opcode = 0x95}};
  answer.functions = {{.address = kMain,
                       .symbol = {},
                       .words = {kNop, kNop, 0x39000000, kNop, kNop, kNop, 0x4e800421, 0x39000000,
                                 0x7d034378, 0x4e800020}}};
  answer.lines = {row(0, 0), row(1, 3), row(2, 7), row(3, 8)};
  EXPECT_EQ(line_rows(answer, {}), LineRows::exact);
  answer.lines = {row(0, 0), row(1, 2), row(2, 3), row(3, 7)};
  EXPECT_EQ(line_rows(answer, {}), LineRows::one_early);
  answer.lines = {row(0, 0), row(1, 7), row(2, 8), row(3, 9)};
  EXPECT_EQ(line_rows(answer, {}), LineRows::not_told);
  answer.lines = {row(0, 0), row(1, 3), row(2, 7), row(3, 8)};
  answer.program[2] = {.opcode = 0x85, .imm = 5};  // a call that is not in the bytes
  EXPECT_EQ(line_rows(answer, {}), LineRows::not_told) << "which is which is not known";
  answer.lines.clear();
  EXPECT_EQ(line_rows(answer, {}), LineRows::not_told);
}

// The same call, six words further on: those of an ELFv1 function's descriptor.
TEST(KernelLines, MayCountFromADescriptor) {
  const kernel::KernelFacts facts = {.endian = model::Endian::big, .abi = model::Abi::elfv1};
  kernel::Answer answer;
  answer.program = {
      {.opcode = 0xb7}, {.opcode = 0x85, .imm = 5}, {.opcode = 0xb7}, {.opcode = 0x95}};
  answer.functions = {{.address = kMain,
                       .symbol = {},
                       .words = {0, 0, 0, 0, 0, 0, kNop, kNop, 0x39000000, kNop, kNop, kNop,
                                 0x4e800421, 0x39000000, 0x7d034378, 0x4e800020}}};
  answer.lines = {row(0, 0), row(1, 2), row(2, 3), row(3, 7)};
  EXPECT_EQ(line_rows(answer, facts), LineRows::from_the_descriptor);
  answer.lines = {row(0, 0), row(1, 8), row(2, 9), row(3, 13)};
  EXPECT_EQ(line_rows(answer, facts), LineRows::one_early);
  const std::vector<std::string> names = {"main"};
  const model::CodeImage image = kernel_image(answer, names, facts);
  const bpf::Program program{.slots = answer.program,
                             .functions = {{.name = "main", .begin = 0, .end = 4}}};
  answer.lines = {row(0, 0), row(1, 2), row(2, 3), row(3, 7)};
  for (std::uint32_t i = 0; i < 4; ++i) {
    answer.lines[i].loaded_slot = i;
  }
  const auto lines = found_lines(program, program, answer, image, LineRows::from_the_descriptor);
  EXPECT_THAT(lines[0].lines, ElementsAre(CodeLine{0, 8}, CodeLine{1, 9}, CodeLine{2, 13},
                                          CodeLine{3, 14}, CodeLine{4, 14}));
  answer.lines[1] = row(1, 4);  // in the descriptor, if the rows count from the code
  const auto in_descriptor = found_lines(program, program, answer, image, LineRows::one_early);
  EXPECT_THAT(in_descriptor[0].lines,
              testing::Each(testing::Field(&CodeLine::word, testing::Ge(6U))));
}

}  // namespace
}  // namespace farcall::stock::lines_test
