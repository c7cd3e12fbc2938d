// What the interpreter does where control leaves a program: external functions, which may call back,
// and tail calls.
#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "build.hpp"
#include "tests/bpf/memory.hpp"

namespace farcall::bpf::interpreter_calls_test {
namespace {

using namespace tests;

// What helper 5 of these tests does: calls the function that r2 points to with 10 times r1, and
// adds how deep the calls are.
Result<std::uint64_t> tenfold(Caller& caller, const Arguments& arguments) {
  FARCALL_TRY(result, caller.call_back({arguments[1]}, std::array{arguments[0] * 10}));
  return result + caller.depth();
}
Result<std::uint64_t> sum(Caller& /*caller*/, const Arguments& arguments) {
  return arguments[0] + arguments[1];
}
Result<std::uint64_t> walk(Caller& caller, const Arguments& arguments) {
  for (std::size_t level = 0; level < caller.depth(); ++level) {
    FARCALL_TRYV(caller.store_return_address({arguments[0] + 8 * level}, level));
  }
  return caller.depth();
}

constexpr ValueType kSignedByte = {.bits = 8, .is_signed = true};
constexpr ValueType kHalfword = {.bits = 16, .is_signed = false};

Program with_externals(const std::string& text, Callx callx = Callx::none) {
  Program program = program_of(text);
  program.callx = callx;
  program.externals = {
      {.name = "tenfold", .id = 5, .calls_back = true, .meaning = tenfold},
      {.name = "sum",
       .kind = ExternalKind::kfunc,
       .id = 5,
       .signature = {.arguments = {kSignedByte, kHalfword}},
       .meaning = sum},
      {.name = "walk", .id = 6, .meaning = walk},
  };
  EXPECT_TRUE(validate(program));
  return program;
}

// Function number n is at 0x100 * n + 0x100.
Result<InterpreterRun> run_placed(const Program& program, AddressSpace& memory) {
  std::vector<GuestAddress> addresses;
  for (std::uint64_t i = 1; i <= callee_count(program); ++i) {
    addresses.push_back({0x100 * i});
  }
  return interpret(program, addresses, {kData.value, 8, 0, 0, 0}, kStackTop, memory);
}

TEST(Interpreter, ExternalsCallBackAndKeepWhatIsTheCallers) {
  AddressSpace memory = memory_of(std::endian::little);
  const auto run = run_placed(with_externals("mov %r6, 7\nstdw [%r10-8], 100\nmov %r1, 4\n"
                                             "lddw %r2, local f\ncall 5\nadd %r0, %r6\n"
                                             "ldxdw %r1, [%r10-8]\nadd %r0, %r1\nexit\n"
                                             "f:\nmov %r6, 1\nstdw [%r10-8], 1\nmov %r0, %r1\n"
                                             "add %r0, 2\nexit\n"),
                              memory)
                       .value();
  EXPECT_EQ(run.r0, 42U + 1 + 7 + 100);
  ASSERT_EQ(run.calls.size(), 2U);
  EXPECT_EQ(run.calls[0].site, (CallSite{0, 0}));
  EXPECT_EQ(run.calls[0].callee, 2U);
  EXPECT_EQ(run.calls[1].site, (CallSite{2, 0}));
  EXPECT_EQ(run.calls[1].callee, 1U);
  ASSERT_EQ(run.frames.size(), 1U) << "the callback's is somewhere below the external function's";
  EXPECT_EQ(run.frames[0].bytes.size(), 8U);
}

TEST(Interpreter, WhatCalleesLeftIsGoneWithTheNextExternal) {
  const auto frames_left = [](const std::string& main) {
    AddressSpace memory = memory_of(std::endian::little);
    const auto run =
        run_placed(with_externals(main + "exit\nf:\nstdw [%r10-8], 1\nmov %r0, 0\nexit\n"), memory);
    EXPECT_TRUE(run) << to_string(run.error());
    return run ? run.value().frames.size() : 0;
  };
  EXPECT_EQ(frames_left("call local f\n"), 2U);
  EXPECT_EQ(frames_left("call local f\nmov %r1, 1\nmov %r2, 2\nmov %r3, 3\nmov %r4, 4\nmov %r5, "
                        "5\ncall kfunc 5\n"),
            1U);
}

// RFC 9669 section 5.4: src 1 is the map, src 2 its values and `imm` of the second slot.
TEST(Interpreter, MapsAreRegionsOfTheirNames) {
  const std::vector<Map> maps = {{"counters", 8}};
  const Program program =
      assemble(
          "lddw %r0, map counters\nlddw %r1, value counters+5\nsub %r1, %r0\nadd %r0, %r1\nexit\n",
          {"test", 1}, maps)
          .value();
  AddressSpace memory(
      {{.name = "counters", .address = {0x5000}, .bytes = std::vector<std::byte>(16)}},
      std::endian::big);
  EXPECT_EQ(run_placed(program, memory).value().r0, 0x5000U + 8 + 5);
  AddressSpace none = memory_of(std::endian::big);
  EXPECT_EQ(run_placed(program, none).error().code, ErrorCode::interpreter_bad_access);
}

// `callx-helper`: all 64 bits of the register are the number, and of a helper.
TEST(Interpreter, ARegisterMayHoldTheNumberOfAHelper) {
  const auto calling = [](const std::string& number) {
    return with_externals("mov %r6, 7\nmov %r1, 4\nlddw %r2, local f\nlddw %r3, " + number +
                              "\ncall %r3\nadd %r0, %r6\nexit\nf: mov %r0, %r1\nexit\n",
                          Callx::helper);
  };
  AddressSpace memory = memory_of(std::endian::little);
  const auto run = run_placed(calling("5"), memory).value();
  EXPECT_EQ(run.r0, 40U + 1 + 7);
  ASSERT_EQ(run.calls.size(), 2U);
  EXPECT_EQ(run.calls[0].site, (CallSite{0, 0}));
  EXPECT_EQ(run.calls[0].callee, 2U);
  for (const char* number : {"7", "12", "0", "0x100000005", "-1", "0x100"}) {
    const auto none = run_placed(calling(number), memory);
    ASSERT_FALSE(none) << number;
    EXPECT_EQ(none.error().code, ErrorCode::interpreter_bad_call);
    EXPECT_EQ(none.error().site, "main[0]");
  }
}

TEST(Interpreter, ArgumentsOfExternalsAreExtended) {
  AddressSpace memory = memory_of(std::endian::little);
  EXPECT_EQ(run_placed(with_externals("lddw %r1, 0x1234567ff\nlddw %r2, 0xfffff0005\n"
                                      "call kfunc 5\nexit\n"),
                       memory)
                .value()
                .r0,
            4U);
}

TEST(Interpreter, AWalkSaysWhoseAddressesBelongWhere) {
  AddressSpace memory = memory_of(std::endian::little, std::vector<std::byte>(16, std::byte{1}));
  const auto run =
      run_placed(with_externals("call local f\nexit\nf:\nmov %r0, 0\ncall 6\nexit\n"), memory)
          .value();
  EXPECT_EQ(run.r0, 2U);
  EXPECT_EQ(run.return_addresses,
            (std::vector<ReturnAddress>{{kData, {1, 0}}, {kData + 8, {0, 0}}}));
  EXPECT_EQ(memory.load(kData + 8, 8).value(), 0U);
}

TEST(Interpreter, ACallBackToNoFunctionIsRefused) {
  AddressSpace memory = memory_of(std::endian::little);
  const auto run = run_placed(with_externals("mov %r2, 1\ncall 5\nexit\n"), memory);
  EXPECT_EQ(name(run.error().code), "interpreter.bad-call");
  EXPECT_EQ(run.error().site, "tenfold[0]");
}

// An array of three programs: none, the first function, the second.
AddressSpace memory_with_programs(std::uint64_t second) {
  AddressSpace memory = memory_of(std::endian::little, std::vector<std::byte>(32));
  EXPECT_TRUE(memory.store(kData, 4, 3));
  EXPECT_TRUE(memory.store(kData + 16, 8, 0x100));
  EXPECT_TRUE(memory.store(kData + 24, 8, second));
  return memory;
}

Program two_programs(const std::string& text) {
  Program program = program_of(text);
  program.functions[1].begins_program = true;
  return program;
}

TEST(Interpreter, TailCallsReturnForTheirCaller) {
  AddressSpace memory = memory_with_programs(0x200);
  const auto run = run_placed(two_programs("mov %r2, %r1\nmov %r3, 2\ncall 12\nmov %r0, 99\n"
                                           "exit\nf:\nmov %r0, 5\nja +1\ncall local f\nexit\n"),
                              memory)
                       .value();
  EXPECT_EQ(run.r0, 5U);
  ASSERT_EQ(run.calls.size(), 1U);
  EXPECT_EQ(run.calls[0].callee, 1U);
}

TEST(Interpreter, TailCallsGoOnWhereThereIsNowhereToGo) {
  for (const char* index : {"0", "3", "-1", "0x7fffffff"}) {
    AddressSpace memory = memory_with_programs(0x200);
    EXPECT_EQ(run_placed(program_of("mov %r2, %r1\nmov %r3, " + std::string(index) +
                                    "\ncall 12\nmov %r0, 99\nexit\n"),
                         memory)
                  .value()
                  .r0,
              99U);
  }
}

TEST(Interpreter, ThereAre33TailCallsAndNoMore) {
  AddressSpace memory = memory_with_programs(0x200);
  const auto run = run_placed(program_of("mov %r2, %r1\nlddw %r3, 0xffffffff00000001\n"
                                         "ldxdw %r6, [%r1+8]\nadd %r6, 1\nstxdw [%r1+8], %r6\n"
                                         "call 12\nmov %r0, %r6\nexit\n"),
                              memory)
                       .value();
  EXPECT_EQ(run.r0, 34U);
  EXPECT_EQ(run.calls.size(), 33U);
}

TEST(Interpreter, ATailCallToWhatIsNoProgramIsRefused) {
  AddressSpace memory = memory_with_programs(0x200);
  const auto run =
      run_placed(program_of("mov %r2, %r1\nmov %r3, 2\ncall 12\nmov %r0, 99\nexit\nf:\n"
                            "mov %r0, 5\nja +1\ncall local f\nexit\n"),
                 memory);
  EXPECT_EQ(name(run.error().code), "interpreter.bad-call");
  EXPECT_EQ(run.error().site, "main[0]");
}

}  // namespace
}  // namespace farcall::bpf::interpreter_calls_test
