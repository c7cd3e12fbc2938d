#include "bpf/validator.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <string>

#include "build.hpp"

namespace farcall::bpf::validator_test {
namespace {

void expect_refused(const Program& program, ErrorCode code, const std::string& message,
                    unsigned line) {
  const Result<void> result = validate(program);
  ASSERT_FALSE(result) << message;
  EXPECT_EQ(name(result.error().code), name(code));
  EXPECT_EQ(result.error().message, message);
  EXPECT_EQ(result.error().where.line, line) << message;
}

void expect_refused(const std::string& text, ErrorCode code, const std::string& message,
                    unsigned line) {
  expect_refused(program_of(text), code, message, line);
}

TEST(Validator, AcceptsAProgramOfEverything) {
  EXPECT_TRUE(validate(program_of(R"(
lddw %r1, -1
stxdw [%r10-8], %r1
stb [%r10-9], 255
ldxw %r0, [%r10-8]
neg %r0
be64 %r0
jeq %r0, %r10, +1
jne32 %r0, 5, done
call local callee
done: exit
callee:
mov %r0, %r10
ja -2
)")));
}

TEST(Validator, Empty) {
  expect_refused(Program{}, ErrorCode::bpf_empty, "the program has no instruction", 0);
}

TEST(Validator, FunctionsDivideTheProgram) {
  const Program good = program_of("call local f\nexit\nf: exit\n");
  const auto refuse = [&good](const std::function<void(std::vector<Function>&)>& spoil,
                              const std::string& message) {
    Program bad = good;
    spoil(bad.functions);
    expect_refused(bad, ErrorCode::bpf_bad_functions, message, 0);
  };
  refuse([](auto& functions) { functions.clear(); },
         "functions end at slot 0: expected the program's end, 3");
  refuse([](auto& functions) { functions[0].begin = 1; },
         "function main is slots 1 to 2: expected it to begin at slot 0 and not to be empty");
  refuse([](auto& functions) { functions[1].begin = 1; },
         "function f is slots 1 to 3: expected it to begin at slot 2 and not to be empty");
  refuse([](auto& functions) { functions[1].end = 2; },
         "function f is slots 2 to 2: expected it to begin at slot 2 and not to be empty");
  refuse([](auto& functions) { functions[1].end = 4; },
         "functions end at slot 4: expected the program's end, 3");
  refuse([](auto& functions) { functions[1].name = "main"; }, "two functions are called main");
}

TEST(Validator, UnknownOpcode) {
  Program program = program_of("mov %r0, 1\nexit\n");
  program.slots[0].opcode = 0xff;
  expect_refused(program, ErrorCode::bpf_unknown_opcode, "main+0: opcode 0xff is not supported", 1);
}

TEST(Validator, UnknownVariants) {
  Program program = program_of("be16 %r0\ncall local main\nexit\n");
  program.slots[0].imm = 8;
  expect_refused(program, ErrorCode::bpf_reserved_field,
                 "main+0: imm of opcode 0xdc (be16) is 8: expected 16 or 32 or 64", 1);
  program.slots[0] = {.opcode = 0x37, .offset = 2, .imm = 5};
  expect_refused(program, ErrorCode::bpf_reserved_field,
                 "main+0: offset of opcode 0x37 (div) is 2: expected 0 or 1", 1);
  program.slots[0] = {.opcode = 0xbf, .offset = 24};
  expect_refused(
      program, ErrorCode::bpf_reserved_field,
      "main+0: offset of opcode 0xbf (mov) is 24: expected 0 or 8 or 16 or 32 or 1 or -1", 1);
  program.slots[0] = {.opcode = 0xdc, .imm = 16};
  program.slots[1].src = 3;
  expect_refused(program, ErrorCode::bpf_reserved_field,
                 "main+1: src of opcode 0x85 (call) is 3: expected 0 or 1 or 2", 2);
}

TEST(Validator, HelpersAndKfuncsAreDeclared) {
  Program program = program_of("call 5\nexit\n");
  expect_refused(program, ErrorCode::bpf_unknown_function,
                 "main+0: there is no helper 5 (bpf_ktime_get_ns in Linux)", 1);
  program.externals = {{.name = "f", .kind = ExternalKind::kfunc, .id = 5}};
  expect_refused(program, ErrorCode::bpf_unknown_function,
                 "main+0: there is no helper 5 (bpf_ktime_get_ns in Linux)", 1);
  program.externals.push_back({.name = "g", .kind = ExternalKind::helper, .id = 5});
  EXPECT_TRUE(validate(program));
  program.slots[0] = {.opcode = 0x85, .src = kKfuncCall, .imm = 6};
  expect_refused(program, ErrorCode::bpf_unknown_function, "main+0: there is no kfunc 6", 1);
  program.slots[0] = {.opcode = 0x85, .src = kHelperCall, .imm = kTailCall};
  EXPECT_TRUE(validate(program));
}

TEST(Validator, MapsAreThereAndHaveTheirValues) {
  Program program = program_of("lddw %r1, 0\nmov %r0, 0\nexit\n");
  program.maps = {{"programs", 0}, {"table", 8}};
  const auto load = [&program](std::uint8_t src, std::int32_t map, std::int32_t offset) {
    program.slots[0].src = src;
    program.slots[0].imm = map;
    program.slots[1].imm = offset;
  };
  load(kPseudoMap, 0, 0);
  EXPECT_TRUE(validate(program));
  load(kPseudoMapValue, 1, 7);
  EXPECT_TRUE(validate(program));
  for (const std::int32_t number : {2, -1, INT32_MIN}) {
    load(kPseudoMap, number, 0);
    expect_refused(program, ErrorCode::bpf_unknown_map,
                   "main+0: there is no map " + std::to_string(number), 1);
  }
  load(kPseudoMapValue, 1, 8);
  expect_refused(program, ErrorCode::bpf_map_value,
                 "main+0: the values of table have 8 bytes: there is no byte 8", 1);
  load(kPseudoMapValue, 1, -1);
  expect_refused(program, ErrorCode::bpf_map_value,
                 "main+0: the values of table have 8 bytes: there is no byte 4294967295", 1);
  load(kPseudoMapValue, 0, 0);
  expect_refused(program, ErrorCode::bpf_map_value,
                 "main+0: the values of programs have 0 bytes: there is no byte 0", 1);
}

TEST(Validator, UnusedFieldsAreZero) {
  const auto refuse = [](const std::string& text, const std::function<void(Slot&)>& spoil,
                         const std::string& message) {
    Program program = program_of(text + "\nexit\n");
    spoil(program.slots[0]);
    expect_refused(program, ErrorCode::bpf_reserved_field, message, 1);
  };
  refuse(
      "add %r1, 5", [](Slot& slot) { slot.src = 1; },
      "main+0: src of add is 1: expected 0, as it is not used");
  refuse(
      "add %r1, %r2", [](Slot& slot) { slot.imm = 1; },
      "main+0: imm of add is 1: expected 0, as it is not used");
  refuse(
      "mov %r1, 2", [](Slot& slot) { slot.offset = 8; },
      "main+0: offset of mov is 8: expected 0, as it is not used");
  refuse(
      "ja32 +0", [](Slot& slot) { slot.offset = 1; },
      "main+0: offset of ja32 is 1: expected 0, as it is not used");
  refuse(
      "swap16 %r1", [](Slot& slot) { slot.src = 1; },
      "main+0: src of swap16 is 1: expected 0, as it is not used");
  refuse(
      "movsx864 %r1, %r2", [](Slot& slot) { slot.imm = 1; },
      "main+0: imm of movsx864 is 1: expected 0, as it is not used");
  refuse(
      "neg %r1", [](Slot& slot) { slot.src = 1; },
      "main+0: src of neg is 1: expected 0, as it is not used");
  refuse(
      "ldxw %r1, [%r10-8]", [](Slot& slot) { slot.imm = -1; },
      "main+0: imm of ldxw is -1: expected 0, as it is not used");
  refuse(
      "stw [%r10-8], 1", [](Slot& slot) { slot.src = 2; },
      "main+0: src of stw is 2: expected 0, as it is not used");
  refuse(
      "stxw [%r10-8], %r1", [](Slot& slot) { slot.imm = 2; },
      "main+0: imm of stxw is 2: expected 0, as it is not used");
  refuse(
      "ja +0", [](Slot& slot) { slot.dst = 1; },
      "main+0: dst of ja is 1: expected 0, as it is not used");
  refuse(
      "jeq %r1, 1, +0", [](Slot& slot) { slot.src = 1; },
      "main+0: src of jeq is 1: expected 0, as it is not used");
  refuse(
      "call local main", [](Slot& slot) { slot.offset = 3; },
      "main+0: offset of call is 3: expected 0, as it is not used");
  refuse(
      "exit", [](Slot& slot) { slot.imm = 1; },
      "main+0: imm of exit is 1: expected 0, as it is not used");
  refuse(
      "lddw %r1, 1", [](Slot& slot) { slot.offset = 1; },
      "main+0: offset of lddw is 1: expected 0, as it is not used");
}

TEST(Validator, TheSecondSlotOfALoadHoldsItsImmediateOnly) {
  for (const auto& spoil :
       {+[](Slot& slot) { slot.opcode = 0x95; }, +[](Slot& slot) { slot.dst = 1; },
        +[](Slot& slot) { slot.src = 1; }, +[](Slot& slot) { slot.offset = 1; }}) {
    Program program = program_of("lddw %r1, 0x100000000\nexit\n");
    spoil(program.slots[1]);
    expect_refused(program, ErrorCode::bpf_reserved_field,
                   "main+1: second slot of lddw: expected all fields but imm to be 0", 1);
  }
}

TEST(Validator, Registers) {
  expect_refused("exit\nmov %r11, 1\nexit\n", ErrorCode::bpf_bad_register,
                 "main+1: mov names register r11: expected r0 to r10", 2);
  expect_refused("add %r1, %r15\nexit\n", ErrorCode::bpf_bad_register,
                 "main+0: add names register r15: expected r0 to r10", 1);
  expect_refused("mov %r10, 1\nexit\n", ErrorCode::bpf_bad_register,
                 "main+0: mov writes r10, the frame pointer, which is read-only", 1);
  expect_refused("lock fetch add [%r1], %r10\nexit\n", ErrorCode::bpf_bad_register,
                 "main+0: lock fetch add writes r10, the frame pointer, which is read-only", 1);
  expect_refused("ldxw %r10, [%r1]\nexit\n", ErrorCode::bpf_bad_register,
                 "main+0: ldxw writes r10, the frame pointer, which is read-only", 1);
  expect_refused("lddw %r10, 1\nexit\n", ErrorCode::bpf_bad_register,
                 "main+0: lddw writes r10, the frame pointer, which is read-only", 1);
  expect_refused("be16 %r10\nexit\n", ErrorCode::bpf_bad_register,
                 "main+0: be16 writes r10, the frame pointer, which is read-only", 1);
}

TEST(Validator, NamesTheSourceLine) {
  Program program = program_of("mov %r0, 0\nmov %r10, 1\nexit\n");
  program.lines = {{.slot = 0, .where = {.file = "a.c", .line = 3, .column = 5}, .text = "x = y;"}};
  EXPECT_EQ(validate(program).error().message,
            "main+1, a.c:3:5: `x = y;`: mov writes r10, the frame pointer, which is read-only");
}

TEST(Validator, JumpTargets) {
  expect_refused("ja +1\nexit\n", ErrorCode::bpf_jump_target,
                 "main+0: ja leads to slot 2, outside its function (0 to 1)", 1);
  expect_refused("exit\njeq %r1, 1, -3\nexit\n", ErrorCode::bpf_jump_target,
                 "main+1: jeq leads to slot -1, outside its function (0 to 2)", 2);
  expect_refused("ja +1\nlddw %r1, 1\nexit\n", ErrorCode::bpf_jump_target,
                 "main+0: ja leads to slot 2, the second half of an instruction", 1);
  expect_refused("call local f\nja inside\nf: mov %r0, 1\ninside: exit\n",
                 ErrorCode::bpf_jump_target,
                 "main+1: ja leads to slot 3, outside its function (0 to 1)", 2);
  expect_refused("call local f\nback: exit\nf: ja back\n", ErrorCode::bpf_jump_target,
                 "f+0: ja leads to slot 1, outside its function (2 to 2)", 3);
}

TEST(Validator, CallTargets) {
  // The call is in slot 3; functions begin at slots 0 and 2.
  Program program = program_of("call local f\nexit\nf: mov %r0, 1\ncall local f\nexit\n");
  for (const std::int32_t imm : {-4, -2}) {
    program.slots[3].imm = imm;
    EXPECT_TRUE(validate(program)) << imm;
  }
  for (const std::int32_t imm : {-5, -3, -1, 0, 1, 100, INT32_MIN, INT32_MAX}) {
    program.slots[3].imm = imm;
    const Result<void> result = validate(program);
    ASSERT_FALSE(result) << imm;
    EXPECT_EQ(result.error().code, ErrorCode::bpf_call_target) << imm;
    EXPECT_EQ(result.error().site, "f[0]");
    EXPECT_EQ(result.error().where.line, 4);
  }
}

TEST(Validator, FallingOffTheEnd) {
  expect_refused("exit\nmov %r0, 1\n", ErrorCode::bpf_falls_off_end,
                 "main+1: mov is the last instruction of main: expected exit or ja", 2);
  expect_refused("call local f\nf: exit\n", ErrorCode::bpf_falls_off_end,
                 "main+0: call is the last instruction of main: expected exit or ja", 1);
  expect_refused("exit\njeq %r1, 1, -2\n", ErrorCode::bpf_falls_off_end,
                 "main+1: jeq is the last instruction of main: expected exit or ja", 2);
  expect_refused("exit\nlddw %r0, 1\n", ErrorCode::bpf_falls_off_end,
                 "main+1: lddw is the last instruction of main: expected exit or ja", 2);
  Program cut = program_of("exit\nlddw %r0, 1\n");
  cut.slots.pop_back();
  cut.functions[0].end = 2;
  expect_refused(cut, ErrorCode::bpf_falls_off_end,
                 "main+1: lddw takes two slots: the second is missing", 2);
}

TEST(Validator, WithoutOriginsTheErrorHasNoPlace) {
  Program program = program_of("mov %r0, 1\n");
  program.origins = {};
  ASSERT_FALSE(validate(program));
  EXPECT_EQ(validate(program).error().where, SourceLocation{});
}

}  // namespace
}  // namespace farcall::bpf::validator_test
