// Pointers to functions and calls through them, from text to what a run does.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <string>

#include "bpf/codec.hpp"
#include "bpf/disassembler.hpp"
#include "bpf/instruction.hpp"
#include "bpf/interpreter.hpp"
#include "build.hpp"

namespace farcall::bpf::function_pointer_test {
namespace {

constexpr GuestAddress kStackTop = {0x10000};
constexpr GuestAddress kTable = {0x20000};
constexpr std::array<GuestAddress, 3> kAddresses = {GuestAddress{0xc000000000010000},
                                                    GuestAddress{0xc00800000012a468},
                                                    GuestAddress{0xd000000000000000}};

Program with_callx(const std::string& text) {
  Program program = program_of(text);
  program.callx = Callx::address;
  const Result<void> valid = validate(program);
  EXPECT_TRUE(valid) << to_string(valid.error());
  return program;
}

Result<InterpreterRun> run(const Program& program) {
  AddressSpace memory({{.name = "table", .address = kTable, .bytes = std::vector<std::byte>(16)}},
                      std::endian::big);
  return interpret(program, kAddresses, {kTable.value}, kStackTop, memory);
}

TEST(FunctionPointer, IsASlotRelativeToTheNext) {
  const Program program = program_of("lddw %r3, local f\nexit\nf:\nexit\n");
  EXPECT_EQ(program.slots[0], (Slot{.opcode = 0x18, .dst = 3, .src = 4, .imm = 2}));
  EXPECT_EQ(program.slots[1], Slot{});
  EXPECT_EQ(program.functions.size(), 2U);
  EXPECT_EQ(program.functions[1], (Function{.name = "f", .begin = 3, .end = 4}));
  EXPECT_EQ(disassemble(program), "main:\nlddw %r3, local f\nexit\nf:\nexit\n");
  EXPECT_EQ(disassemble_instruction(program, 0), "lddw %r3, local f");
}

TEST(FunctionPointer, PointsBackwardsToo) {
  const Program program = program_of("exit\nf:\nlddw %r1, local main\nexit\nmov %r0, 1\nexit\n");
  EXPECT_EQ(program.functions.size(), 1U);  // nobody points at f
  EXPECT_EQ(program.slots[1].imm, -2);
}

TEST(FunctionPointer, IsTheAddressOfItsFunction) {
  const Program program =
      with_callx("lddw %r0, local g\nlddw %r1, local f\nexit\nf: exit\ng: exit\n");
  EXPECT_EQ(run(program).value().r0, kAddresses[2].value);
}

TEST(FunctionPointer, ACallThroughARegisterIsASite) {
  const Program program = with_callx(
      "mov %r6, %r1\nlddw %r2, local f\nstxdw [%r6+0], %r2\nlddw %r2, local g\nstxdw [%r6+8], %r2\n"
      "ldxdw %r2, [%r6+0]\ncallx %r2\nmov %r7, %r0\ncall local g\nldxdw %r2, [%r6+8]\ncallx %r2\n"
      "add %r0, %r7\nexit\nf: mov %r0, 1\nexit\ng: mov %r0, 2\nexit\n");
  const std::vector<CallInstruction> sites = call_instructions(program);
  ASSERT_EQ(sites.size(), 3U);
  EXPECT_EQ(sites[0].callee, std::nullopt);
  EXPECT_EQ(sites[1].callee, 2U);
  EXPECT_EQ(sites[2].site, (CallSite{.function = 0, .ordinal = 2}));
  EXPECT_THAT(pseudo_calls(program),
              testing::ElementsAre(PseudoCall{
                  .site = {.function = 0, .ordinal = 1}, .slot = sites[1].slot, .callee = 2}));
  const Result<InterpreterRun> ran = run(program);
  ASSERT_TRUE(ran) << to_string(ran.error());
  EXPECT_EQ(ran.value().r0, 3U);
  ASSERT_EQ(ran.value().calls.size(), 3U);
  EXPECT_EQ(ran.value().calls[0].callee, 1U);
  EXPECT_EQ(ran.value().calls[2].callee, 2U);
}

TEST(FunctionPointer, ACallOfNoFunctionIsAnErrorAtItsSite) {
  for (const std::string address : {"0", "0xc00800000012a46c", "0xc00800000012a469"}) {
    const auto ran =
        run(with_callx("lddw %r2, " + address + "\ncallx %r2\nlddw %r1, local f\nexit\nf: exit\n"));
    ASSERT_FALSE(ran) << address;
    EXPECT_EQ(ran.error().code, ErrorCode::interpreter_bad_call);
    EXPECT_EQ(ran.error().site, "main[0]");
  }
}

TEST(FunctionPointer, ACallThroughARegisterCountsAgainstTheDepth) {
  const auto ran = run(with_callx("lddw %r2, local main\ncallx %r2\nexit\n"));
  ASSERT_FALSE(ran);
  EXPECT_EQ(ran.error().code, ErrorCode::interpreter_call_depth);
}

ErrorCode refused(Program program) {
  const Result<void> valid = validate(program);
  return valid ? ErrorCode::usage_bad_argument : valid.error().code;
}

TEST(FunctionPointer, WhatIsNoPointerIsRefused) {
  const Program good = program_of("lddw %r3, local f\nexit\nf:\nexit\n");
  EXPECT_TRUE(validate(good));
  const auto changed = [&](auto change) {
    Program program = good;
    change(program);
    return refused(std::move(program));
  };
  EXPECT_EQ(changed([](Program& p) { p.slots[0].imm = 1; }), ErrorCode::bpf_call_target);
  EXPECT_EQ(changed([](Program& p) { p.slots[0].imm = INT32_MIN; }), ErrorCode::bpf_call_target);
  EXPECT_EQ(changed([](Program& p) { p.slots[1].imm = 1; }), ErrorCode::bpf_reserved_field);
  EXPECT_EQ(changed([](Program& p) { p.slots[0].offset = 1; }), ErrorCode::bpf_reserved_field);
  EXPECT_EQ(changed([](Program& p) { p.slots[0].dst = 10; }), ErrorCode::bpf_bad_register);
}

TEST(FunctionPointer, CallxIsAnExtension) {
  Program program = program_of("callx %r2\nexit\n");
  EXPECT_EQ(refused(program), ErrorCode::bpf_unknown_opcode);
  program.callx = Callx::address;
  EXPECT_TRUE(validate(program));
  program.slots[0].dst = 11;
  EXPECT_EQ(refused(program), ErrorCode::bpf_bad_register);
  program.slots[0] = {.opcode = 0x8d, .imm = 2};  // as clang 14 writes it
  EXPECT_EQ(refused(program), ErrorCode::bpf_reserved_field);
}

}  // namespace
}  // namespace farcall::bpf::function_pointer_test
