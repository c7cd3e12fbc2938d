#include "bpf/assembler.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "build.hpp"

namespace farcall::bpf::assembler_test {
namespace {

Slot slot_of(const std::string& text) {
  return program_of(text).slots.at(0);
}

TEST(Assembler, LinesAreRepeated) {
  const Program program = program_of("mov %r0, 0\n.rept 3\nadd %r0, 2\nneg %r0\n.endr\nexit\n");
  ASSERT_EQ(program.slots.size(), 8U);
  EXPECT_EQ(program.slots[5], slot_of("add %r0, 2\nexit"));
  EXPECT_EQ(program.origins.at(5).line, program.origins.at(1).line);
}

TEST(Assembler, WhatCannotBeRepeatedSaysWhere) {
  struct Refusal {
    const char* text;
    unsigned line;
    ErrorCode code;
  };
  for (const Refusal& refusal :
       {Refusal{"exit\n.rept 2\nexit\n", 11, ErrorCode::asm_syntax},
        Refusal{".endr\nexit\n", 10, ErrorCode::asm_syntax},
        Refusal{".rept 2\n.rept 2\nexit\n.endr\n.endr\n", 11, ErrorCode::asm_syntax},
        Refusal{".rept 2\nhere: exit\n.endr\n", 11, ErrorCode::asm_duplicate_label},
        Refusal{".rept many\nexit\n.endr\n", 10, ErrorCode::asm_syntax},
        Refusal{".rept 2000000\nexit\n.endr\n", 10, ErrorCode::asm_out_of_range}}) {
    const Result<Program> read = assemble(refusal.text, {.file = "f", .line = 10});
    ASSERT_FALSE(read) << refusal.text;
    EXPECT_EQ(read.error().code, refusal.code) << refusal.text;
    EXPECT_EQ(read.error().where.line, refusal.line) << refusal.text;
  }
}

TEST(Assembler, EachFormByHand) {
  struct Vector {
    std::string text;
    Slot slot;
  };
  const std::vector<Vector> vectors = {
      {"mov %r0, 1", {.opcode = 0xb7, .dst = 0, .imm = 1}},
      {"add32 %r3, %r4", {.opcode = 0x0c, .dst = 3, .src = 4}},
      {"neg %r9", {.opcode = 0x87, .dst = 9}},
      {"be16 %r1", {.opcode = 0xdc, .dst = 1, .imm = 16}},
      {"le64 %r1", {.opcode = 0xd4, .dst = 1, .imm = 64}},
      {"ldxw %r3, [%r1+12]", {.opcode = 0x61, .dst = 3, .src = 1, .offset = 12}},
      {"ldxdw %r3, [%r1]", {.opcode = 0x79, .dst = 3, .src = 1}},
      {"ldxb %r3, [%r1+0x10]", {.opcode = 0x71, .dst = 3, .src = 1, .offset = 16}},
      {"stxdw [%r10-8], %r2", {.opcode = 0x7b, .dst = 10, .src = 2, .offset = -8}},
      {"stw [%r1], 5", {.opcode = 0x62, .dst = 1, .imm = 5}},
      {"sth [%r1-32768], -5", {.opcode = 0x6a, .dst = 1, .offset = -32768, .imm = -5}},
      {"ja +32767", {.opcode = 0x05, .offset = 32767}},
      {"jeq %r1, 7, -2", {.opcode = 0x15, .dst = 1, .offset = -2, .imm = 7}},
      {"jsle32 %r1, %r2, +0", {.opcode = 0xde, .dst = 1, .src = 2}},
      {"call local main", {.opcode = 0x85, .src = 1, .imm = -1}},
      {"exit", {.opcode = 0x95}},
      {"sdiv %r1, %r2", {.opcode = 0x3f, .dst = 1, .src = 2, .offset = 1}},
      {"smod32 %r1, -3", {.opcode = 0x94, .dst = 1, .offset = 1, .imm = -3}},
      {"movsx832 %r1, %r2", {.opcode = 0xbc, .dst = 1, .src = 2, .offset = 8}},
      {"movsx3264 %r1, %r2", {.opcode = 0xbf, .dst = 1, .src = 2, .offset = 32}},
      {"swap32 %r1", {.opcode = 0xd7, .dst = 1, .imm = 32}},
      {"bswap16 %r1", {.opcode = 0xd7, .dst = 1, .imm = 16}},
      {"ldxsh %r3, [%r1-2]", {.opcode = 0x89, .dst = 3, .src = 1, .offset = -2}},
      {"ja32 +40000", {.opcode = 0x06, .imm = 40000}},
      {"ja32 -2147483648", {.opcode = 0x06, .imm = INT32_MIN}},
      {"lock add [%r1+8], %r2", {.opcode = 0xdb, .dst = 1, .src = 2, .offset = 8}},
      {"lock  fetch\txor32 [%r1], %r2", {.opcode = 0xc3, .dst = 1, .src = 2, .imm = 0xa1}},
      {"lock xchg32 [%r1], %r2", {.opcode = 0xc3, .dst = 1, .src = 2, .imm = 0xe1}},
      {"lock fetch cmpxchg [%r1], %r2", {.opcode = 0xdb, .dst = 1, .src = 2, .imm = 0xf1}},
      // Newer files of the conformance suite leave the % out.
      {"mov32 r0, -1", {.opcode = 0xb4, .dst = 0, .imm = -1}},
      {"stxw [r10-4], r2", {.opcode = 0x63, .dst = 10, .src = 2, .offset = -4}},
      {"jeq r1, r2, +1", {.opcode = 0x1d, .dst = 1, .src = 2, .offset = 1}},
      {"mov %r15, %r11", {.opcode = 0xbf, .dst = 15, .src = 11}},
  };
  for (const auto& v : vectors) {
    EXPECT_EQ(slot_of(v.text), v.slot) << v.text;
  }
}

TEST(Assembler, Immediates) {
  const auto imm = [](const std::string& number) { return slot_of("mov %r0, " + number).imm; };
  EXPECT_EQ(imm("0"), 0);
  EXPECT_EQ(imm("+5"), 5);
  EXPECT_EQ(imm("-5"), -5);
  EXPECT_EQ(imm("0x7fffffff"), 0x7fffffff);
  EXPECT_EQ(imm("0xffffffff"), -1);
  EXPECT_EQ(imm("0xFFFFFFFE"), -2);
  EXPECT_EQ(imm("4294967295"), -1);
  EXPECT_EQ(imm("-2147483648"), INT32_MIN);
  EXPECT_EQ(imm("-0x10"), -16);
}

TEST(Assembler, ImmediatesOf64Bits) {
  const auto halves = [](const std::string& number) {
    const Program program = program_of("lddw %r5, " + number);
    EXPECT_EQ(program.slots.at(0).opcode, 0x18);
    EXPECT_EQ(program.slots.at(0).dst, 5);
    EXPECT_EQ(program.slots.at(1), (Slot{.imm = program.slots.at(1).imm}));
    return std::pair(program.slots.at(0).imm, program.slots.at(1).imm);
  };
  EXPECT_EQ(halves("0x1122334455667788"), std::pair(0x55667788, 0x11223344));
  EXPECT_EQ(halves("2147483648"), std::pair(INT32_MIN, 0));
  EXPECT_EQ(halves("-1"), std::pair(-1, -1));
  EXPECT_EQ(halves("0xffffffffffffffff"), std::pair(-1, -1));
  EXPECT_EQ(halves("-9223372036854775808"), std::pair(0, INT32_MIN));
}

TEST(Assembler, LabelsCommentsAndSpaces) {
  const Program program = program_of(
      "# a comment: with a colon, [and] brackets\r\n"
      "\r\n"
      "  mov\t%r0 ,1# directly after\r\n"
      "again: also: ldxw %r1,[ %r1 + 4 ]\n"
      "last:\n"
      "\n"
      "jne %r1, 0, again   # label\n"
      "jeq %r1, 0, also\n"
      "ja after\n"
      "lddw %r2, 1\n"
      "after: jgt %r1, 0, last\n"
      "exit");
  ASSERT_EQ(program.slots.size(), 9);
  EXPECT_EQ(program.slots[1].offset, 4);
  EXPECT_EQ(program.slots[2].offset, -2);
  EXPECT_EQ(program.slots[3].offset, -3);
  EXPECT_EQ(program.slots[4].offset, 2);
  EXPECT_EQ(program.slots[7].offset, -6);
}

TEST(Assembler, OriginsAreTheMnemonics) {
  const Result<Program> program =
      assemble("mov %r0, 1\n\n  here: lddw %r1, 2\nexit\n", {.file = "a.case", .line = 40});
  ASSERT_TRUE(program);
  const std::vector<SourceLocation> expected = {
      {"a.case", 40, 1}, {"a.case", 42, 9}, {"a.case", 42, 9}, {"a.case", 43, 1}};
  ASSERT_EQ(program.value().origins.size(), expected.size());
  for (std::size_t slot = 0; slot < expected.size(); ++slot) {
    EXPECT_EQ(program.value().origins.at(slot), expected[slot]);
  }
}

TEST(Assembler, FunctionsBeginWhereCallsLead) {
  const Program program = program_of(R"(
start:
call local second
call local first
exit
first:
inner:
call local first
ja inner
alias:
second:
call local alias
exit
unused:
exit
)");
  const std::vector<Function> expected = {{"main", 0, 3}, {"first", 3, 5}, {"alias", 5, 8}};
  EXPECT_EQ(program.functions, expected);
  EXPECT_EQ(program.slots[0].imm, 4);
  EXPECT_EQ(program.slots[1].imm, 1);
  EXPECT_EQ(program.slots[3].imm, -1);
  EXPECT_EQ(program.slots[5].imm, -1);
}

TEST(Assembler, TheFirstFunctionIsMainWhateverItsLabels) {
  for (const char* text : {"exit\n", "start: exit\n", "start: call local start\nexit\n",
                           "main: call local main\nexit\n", "call local main\nexit\n"}) {
    const Program program = program_of(text);
    ASSERT_EQ(program.functions.size(), 1) << text;
    EXPECT_EQ(program.functions[0].name, "main") << text;
  }
}

TEST(Assembler, ExitIsALabelOfTheFirstExitOfTheFunction) {
  const Program program = program_of(R"(
jeq %r1, 0, exit
call local f
exit
exit
f:
ja exit
mov %r0, 1
exit
)");
  EXPECT_EQ(program.slots[0].offset, 1);
  EXPECT_EQ(program.slots[4].offset, 1);
  // A label of that name is that label.
  EXPECT_EQ(slot_of("ja exit\nexit\nexit:\nexit\n").offset, 1);
}

TEST(Assembler, JumpsReachAsFarAs16Bits) {
  std::string filler;
  for (unsigned i = 0; i < 32767; ++i) {
    filler += "neg %r0\n";
  }
  EXPECT_EQ(slot_of("ja far\n" + filler + "far: exit\n").offset, 32767);
  const Result<Program> beyond =
      assemble("ja far\nneg %r0\n" + filler + "far: exit\n", {.file = "t", .line = 1});
  ASSERT_FALSE(beyond);
  EXPECT_EQ(beyond.error().code, ErrorCode::asm_out_of_range);
  EXPECT_EQ(to_string(beyond.error().where), "t:1:4");
  // A call reaches farther.
  EXPECT_EQ(slot_of("call local far\nneg %r0\n" + filler + "far: exit\n").imm, 32768);
}

struct Refusal {
  std::string text;
  std::string error;  // as to_string() has it
};

TEST(Assembler, RefusesWithTheExactPlace) {
  const std::vector<Refusal> refusals = {
      {"mov %r0, 1\n  movv %r0, 1\n",
       "f:11:3: error: there is no instruction 'movv' [asm.unknown-mnemonic]"},
      {"lock mul [%r1], %r2\n",
       "f:10:1: error: there is no instruction 'lock mul' [asm.unknown-mnemonic]"},
      {"lock fetch [%r1], %r2\n",
       "f:10:1: error: there is no instruction 'lock fetch' [asm.unknown-mnemonic]"},
      {"lock add [%r1], 2\n",
       "f:10:17: error: expected a register, %r0 to %r10, found '2' [asm.syntax]"},
      {"movsx864 %r1, 2\n",
       "f:10:15: error: expected a register, %r0 to %r10, found '2' [asm.syntax]"},
      {"ja32 +2147483648\n",
       "f:10:6: error: expected an offset of -2147483648 to 2147483647 [asm.out-of-range]"},
      {"MOV %r0, 1\n", "f:10:1: error: there is no instruction 'MOV' [asm.unknown-mnemonic]"},
      {"5 %r0\n", "f:10:1: error: expected an instruction or a label, found '5' [asm.syntax]"},
      {", mov\n", "f:10:1: error: expected an instruction or a label, found ',' [asm.syntax]"},
      {"mov x0, 1\n", "f:10:5: error: expected a register, %r0 to %r10, found 'x0' [asm.syntax]"},
      {"mov %r16, 1\n",
       "f:10:5: error: expected a register, %r0 to %r10, found '%r16' [asm.syntax]"},
      {"mov %r01, 1\n",
       "f:10:5: error: expected a register, %r0 to %r10, found '%r01' [asm.syntax]"},
      {"mov %x1, 1\n", "f:10:5: error: expected a register, %r0 to %r10, found '%x1' [asm.syntax]"},
      {"mov %r1 1\n", "f:10:9: error: expected ',', found '1' [asm.syntax]"},
      {"mov %r1\n", "f:10:8: error: expected ',', found the line's end [asm.syntax]"},
      {"mov %r1,  # nothing\n",
       "f:10:9: error: expected a number, found the line's end [asm.syntax]"},
      {"mov %r1, one\n", "f:10:10: error: expected a number, found 'one' [asm.syntax]"},
      {"mov %r1, 0x\n", "f:10:10: error: expected a number, found '0x' [asm.syntax]"},
      {"mov %r1, 0xfg\n", "f:10:10: error: expected a number, found '0xfg' [asm.syntax]"},
      {"mov %r1, --1\n", "f:10:10: error: expected a number, found '--1' [asm.syntax]"},
      {"mov %r1, 4294967296\n",
       "f:10:10: error: the number does not fit in 32 bits [asm.out-of-range]"},
      {"mov %r1, -2147483649\n",
       "f:10:10: error: the number does not fit in 32 bits [asm.out-of-range]"},
      {"lddw %r1, 0x10000000000000000\n",
       "f:10:11: error: the number does not fit in 64 bits [asm.out-of-range]"},
      {"lddw %r1, -9223372036854775809\n",
       "f:10:11: error: the number does not fit in 64 bits [asm.out-of-range]"},
      {"lddw %r1, %r2\n", "f:10:11: error: expected a number, found '%r2' [asm.syntax]"},
      {"mov %r1, 1 2\n", "f:10:12: error: expected the line's end, found '2' [asm.syntax]"},
      {"exit now\n", "f:10:6: error: expected the line's end, found 'now' [asm.syntax]"},
      {"neg %r1, 1\n", "f:10:8: error: expected the line's end, found ',' [asm.syntax]"},
      {"ldxw %r1, %r2\n", "f:10:11: error: expected '[', found '%r2' [asm.syntax]"},
      {"ldxw %r1, [%r2+4\n", "f:10:17: error: expected ']', found the line's end [asm.syntax]"},
      {"ldxw %r1, [%r2 4]\n", "f:10:16: error: expected ']', found '4' [asm.syntax]"},
      {"ldxw %r1, [%r2+32768]\n",
       "f:10:15: error: expected an offset of -32768 to 32767 [asm.out-of-range]"},
      {"ldxw %r1, [%r2-32769]\n",
       "f:10:15: error: expected an offset of -32768 to 32767 [asm.out-of-range]"},
      {"stw [%r1], %r2\n", "f:10:12: error: expected a number, found '%r2' [asm.syntax]"},
      {"stxw [%r1], 2\n",
       "f:10:13: error: expected a register, %r0 to %r10, found '2' [asm.syntax]"},
      {"ja 5\n",
       "f:10:4: error: expected a label, or a number of slots with its sign, found '5' "
       "[asm.syntax]"},
      {"ja +40000\n", "f:10:4: error: expected an offset of -32768 to 32767 [asm.out-of-range]"},
      {"ja nowhere\nexit\n", "f:10:4: error: label 'nowhere' is not defined [asm.unknown-label]"},
      {"exit\njeq %r1, %r2, nowhere\n",
       "f:11:15: error: label 'nowhere' is not defined [asm.unknown-label]"},
      {"ja exit\n", "f:10:4: error: label 'exit' is not defined [asm.unknown-label]"},
      {"call local exit\nexit\n",
       "f:10:12: error: label 'exit' is not defined [asm.unknown-label]"},
      {"call helper\n",
       "f:10:6: error: expected 'local' and a label, 'kfunc' and a number, a number, or a "
       "register, found 'helper' [asm.syntax]"},
      {"call %r16\n", "f:10:6: error: expected a register, %r0 to %r10, found '%r16' [asm.syntax]"},
      {"call kfunc\n", "f:10:11: error: expected a number, found the line's end [asm.syntax]"},
      {"call -5\n", "f:10:6: error: expected a number of 0 to 2147483647 [asm.out-of-range]"},
      {"call kfunc 2147483648\n",
       "f:10:12: error: expected a number of 0 to 2147483647 [asm.out-of-range]"},
      {"call local\n", "f:10:11: error: expected a label, found the line's end [asm.syntax]"},
      {"call local +1\nexit\n", "f:10:12: error: expected a label, found '+1' [asm.syntax]"},
      {"a: exit\n b: a: exit\n",
       "f:11:5: error: label 'a' is defined in line 10 already [asm.duplicate-label]"},
      {"exit\nend:\n", "f:11:1: error: no instruction follows label 'end' [asm.syntax]"},
      {"call local main\nexit\nmain: exit\n",
       "f:12:1: error: the first function is called main: expected another label for this one "
       "[asm.duplicate-label]"},
      {"# nothing\n\n", "f:10: error: expected at least one instruction [bpf.empty]"},
      {"", "f:10: error: expected at least one instruction [bpf.empty]"},
  };
  for (const Refusal& refusal : refusals) {
    const Result<Program> result = assemble(refusal.text, {.file = "f", .line = 10});
    ASSERT_FALSE(result) << refusal.text;
    EXPECT_EQ(to_string(result.error()), refusal.error) << refusal.text;
  }
}

}  // namespace
}  // namespace farcall::bpf::assembler_test
