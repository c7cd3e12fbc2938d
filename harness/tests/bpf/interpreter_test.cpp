// Expected values are worked out by hand from RFC 9669 section 4 (ALU and jumps) and section 5
// (loads and stores).
#include "bpf/interpreter.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "build.hpp"
#include "tests/bpf/memory.hpp"

namespace farcall::bpf::interpreter_test {
namespace {

using namespace tests;

Result<InterpreterRun> run(const std::string& text, AddressSpace& memory,
                           const InterpreterLimits& limits = {}) {
  return interpret(valid_program_of(text), {}, {kData.value, 8, 0, 0, 0}, kStackTop, memory,
                   limits);
}

std::uint64_t r0_of(const std::string& text, std::endian order = std::endian::little) {
  AddressSpace memory = memory_of(order);
  return run(text, memory).value().r0;
}

// r0 after `instruction`, with r1 = a and r2 = b before it, if it works on r1.
std::uint64_t r1_after(const std::string& instruction, std::uint64_t a, std::uint64_t b = 0) {
  return r0_of("lddw %r1, " + std::to_string(a) + "\nlddw %r2, " + std::to_string(b) + "\n" +
               instruction + "\nmov %r0, %r1\nexit\n");
}

struct AluVector {
  std::string instruction;
  std::uint64_t a;
  std::uint64_t b;
  std::uint64_t expected;
};

TEST(Interpreter, AluByHand) {
  const std::vector<AluVector> vectors = {
      {"add %r1, %r2", 0xffffffffffffffff, 2, 1},
      {"add32 %r1, %r2", 0xffffffff00000001, 0x1ffffffff, 0},
      {"add %r1, -1", 0, 0, 0xffffffffffffffff},
      {"add32 %r1, -1", 0, 0, 0xffffffff},
      {"sub %r1, %r2", 0, 1, 0xffffffffffffffff},
      {"sub32 %r1, %r2", 0x500000000, 1, 0xffffffff},
      {"mul %r1, %r2", 0x100000000, 0x100000001, 0x100000000},
      {"mul32 %r1, %r2", 0xffffffff, 0xffffffff, 1},
      {"div %r1, %r2", 0xffffffffffffffff, 2, 0x7fffffffffffffff},
      {"div %r1, %r2", 7, 0, 0},
      {"div %r1, 0", 7, 0, 0},
      {"div %r1, -10", 0xffffffffffffffff, 0, 1},
      {"div32 %r1, %r2", 0x1234500000007, 0x900000002, 3},
      {"div32 %r1, %r2", 0xffffffffffffffff, 0x100000000, 0},
      {"mod %r1, %r2", 0xffffffffffffffff, 10, 5},
      {"mod %r1, %r2", 0x1122334455667788, 0, 0x1122334455667788},
      {"mod32 %r1, %r2", 0x1122334455667788, 0x100000000, 0x55667788},
      {"mod32 %r1, %r2", 0xf00000007, 0xf00000004, 3},
      {"or %r1, %r2", 0xf0, 0x0f, 0xff},
      {"or %r1, -256", 0x0f, 0, 0xffffffffffffff0f},
      {"or32 %r1, -256", 0x0f, 0, 0xffffff0f},
      {"and %r1, %r2", 0xff00ff, 0x0ff0f0, 0x0f00f0},
      {"and %r1, -2", 0x8000000000000001, 0, 0x8000000000000000},
      {"and32 %r1, -2", 0x8000000080000001, 0, 0x80000000},
      {"xor %r1, %r2", 0xff00, 0x0ff0, 0xf0f0},
      {"xor32 %r1, -1", 0xffffffff00000000, 0, 0xffffffff},
      {"lsh %r1, %r2", 1, 63, 0x8000000000000000},
      {"lsh %r1, %r2", 1, 68, 16},
      {"lsh32 %r1, %r2", 0xffffffff, 4, 0xfffffff0},
      {"lsh32 %r1, %r2", 1, 33, 2},
      {"rsh %r1, %r2", 0x8000000000000000, 63, 1},
      {"rsh %r1, %r2", 0x8000000000000000, 64, 0x8000000000000000},
      {"rsh32 %r1, %r2", 0xffffffff80000000, 31, 1},
      {"rsh32 %r1, -24", 0xffffffffffffffff, 0, 0x00ffffff},
      {"arsh %r1, %r2", 0x8000000000000000, 4, 0xf800000000000000},
      {"arsh %r1, %r2", 0x4000000000000000, 4, 0x0400000000000000},
      {"arsh32 %r1, %r2", 0x80000000, 4, 0xf8000000},
      {"arsh32 %r1, %r2", 0xffffffff40000000, 36, 0x04000000},
      {"neg %r1", 1, 0, 0xffffffffffffffff},
      {"neg32 %r1", 0x500000001, 0, 0xffffffff},
      {"neg %r1", 0x8000000000000000, 0, 0x8000000000000000},
      {"mov %r1, %r2", 0, 0x1122334455667788, 0x1122334455667788},
      {"mov32 %r1, %r2", 0, 0x1122334455667788, 0x55667788},
      {"mov %r1, -10", 0, 0, 0xfffffffffffffff6},
      {"mov32 %r1, -10", 0, 0, 0xfffffff6},
  };
  for (const AluVector& v : vectors) {
    EXPECT_EQ(r1_after(v.instruction, v.a, v.b), v.expected)
        << v.instruction << " with " << std::hex << v.a << ", " << v.b;
  }
}

TEST(Interpreter, ByteOrderConversionsFollowTheGuest) {
  constexpr std::uint64_t kValue = 0x1122334455667788;
  const std::string load = "lddw %r0, 0x1122334455667788\n";
  struct Vector {
    std::string instruction;
    std::uint64_t little;
    std::uint64_t big;
  };
  const std::vector<Vector> vectors = {
      {"be16 %r0", 0x8877, 0x7788},
      {"be32 %r0", 0x88776655, 0x55667788},
      {"be64 %r0", 0x8877665544332211, kValue},
      {"le16 %r0", 0x7788, 0x8877},
      {"le32 %r0", 0x55667788, 0x88776655},
      {"le64 %r0", kValue, 0x8877665544332211},
  };
  for (const auto& v : vectors) {
    EXPECT_EQ(r0_of(load + v.instruction + "\nexit\n", std::endian::little), v.little)
        << v.instruction;
    EXPECT_EQ(r0_of(load + v.instruction + "\nexit\n", std::endian::big), v.big) << v.instruction;
  }
}

struct JumpVector {
  std::string condition;
  std::uint64_t a;
  std::uint64_t b;
  bool taken;
};

TEST(Interpreter, JumpsByHand) {
  constexpr std::uint64_t kMinusOne = 0xffffffffffffffff;
  const std::vector<JumpVector> vectors = {
      {"jeq", 5, 5, true},
      {"jeq", 0x100000005, 5, false},
      {"jeq32", 0x100000005, 5, true},
      {"jne", 5, 5, false},
      {"jne", 0x100000005, 5, true},
      {"jne32", 0x100000005, 5, false},
      {"jset", 6, 4, true},
      {"jset", 6, 9, false},
      {"jset", 0x100000000, 0x100000000, true},
      {"jset32", 0x100000000, 0x100000000, false},
      {"jgt", kMinusOne, 1, true},
      {"jgt", 1, 1, false},
      {"jgt32", 0x100000000, 1, false},
      {"jge", 1, 1, true},
      {"jge", 0, kMinusOne, false},
      {"jge32", 0, 0x100000000, true},
      {"jlt", 1, kMinusOne, true},
      {"jlt", 1, 1, false},
      {"jlt32", 0x100000000, 1, true},
      {"jle", 1, 1, true},
      {"jle", kMinusOne, 1, false},
      {"jle32", 0x100000001, 1, true},
      {"jsgt", 1, kMinusOne, true},
      {"jsgt", kMinusOne, 1, false},
      {"jsgt32", 0, 0xffffffff, true},
      {"jsgt", 0, 0xffffffff, false},
      {"jsge", kMinusOne, kMinusOne, true},
      {"jsge", kMinusOne, 0, false},
      {"jsge32", 0x80000000, 0x7fffffff, false},
      {"jslt", kMinusOne, 0, true},
      {"jslt", 0, kMinusOne, false},
      {"jslt32", 0x80000000, 0, true},
      {"jslt", 0x80000000, 0, false},
      {"jsle", kMinusOne, kMinusOne, true},
      {"jsle", 1, 0, false},
      {"jsle32", 0xffffffff, 0, true},
  };
  for (const JumpVector& v : vectors) {
    const std::string text = "lddw %r1, " + std::to_string(v.a) + "\nlddw %r2, " +
                             std::to_string(v.b) + "\nmov %r0, 1\n" + v.condition +
                             " %r1, %r2, exit\nmov %r0, 0\nexit\n";
    EXPECT_EQ(r0_of(text), v.taken ? 1 : 0)
        << v.condition << " with " << std::hex << v.a << ", " << v.b;
  }
}

TEST(Interpreter, JumpImmediatesAreSignExtended) {
  EXPECT_EQ(r0_of("mov %r1, -1\nmov %r0, 1\njeq %r1, 0xffffffff, exit\nmov %r0, 0\nexit\n"), 1);
  EXPECT_EQ(r0_of("mov32 %r1, -1\nmov %r0, 1\njeq %r1, -1, exit\nmov %r0, 0\nexit\n"), 0);
  EXPECT_EQ(r0_of("mov32 %r1, -1\nmov %r0, 1\njeq32 %r1, -1, exit\nmov %r0, 0\nexit\n"), 1);
}

TEST(Interpreter, LoadsExtendWithZerosInGuestOrder) {
  const std::vector<std::byte> data = {std::byte{0x81}, std::byte{0x92}, std::byte{0xa3},
                                       std::byte{0xb4}, std::byte{0xc5}, std::byte{0xd6},
                                       std::byte{0xe7}, std::byte{0xf8}};
  struct Vector {
    std::string load;
    std::uint64_t little;
    std::uint64_t big;
  };
  const std::vector<Vector> vectors = {
      {"ldxb %r0, [%r1]", 0x81, 0x81},
      {"ldxh %r0, [%r1+1]", 0xa392, 0x92a3},
      {"ldxw %r0, [%r1+4]", 0xf8e7d6c5, 0xc5d6e7f8},
      {"ldxdw %r0, [%r1]", 0xf8e7d6c5b4a39281, 0x8192a3b4c5d6e7f8},
  };
  for (const auto& v : vectors) {
    for (const std::endian order : {std::endian::little, std::endian::big}) {
      AddressSpace memory = memory_of(order, data);
      EXPECT_EQ(run(v.load + "\nexit\n", memory).value().r0,
                order == std::endian::little ? v.little : v.big)
          << v.load;
    }
  }
}

TEST(Interpreter, StoresLeaveTheirBytesInMemory) {
  const std::string text =
      "lddw %r2, 0x1122334455667788\n"
      "stxb [%r1], %r2\nstxh [%r1+1], %r2\nstxw [%r1+3], %r2\nstxdw [%r1+7], %r2\n"
      "stb [%r1+15], -1\nsth [%r1+16], 0x1234\nstw [%r1+18], 0x12345678\nstdw [%r1+22], -2\n"
      "exit\n";
  const std::vector<unsigned> little = {0x88, 0x88, 0x77, 0x88, 0x77, 0x66, 0x55, 0x88, 0x77, 0x66,
                                        0x55, 0x44, 0x33, 0x22, 0x11, 0xff, 0x34, 0x12, 0x78, 0x56,
                                        0x34, 0x12, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  const std::vector<unsigned> big = {0x88, 0x77, 0x88, 0x55, 0x66, 0x77, 0x88, 0x11, 0x22, 0x33,
                                     0x44, 0x55, 0x66, 0x77, 0x88, 0xff, 0x12, 0x34, 0x12, 0x34,
                                     0x56, 0x78, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe};
  for (const std::endian order : {std::endian::little, std::endian::big}) {
    AddressSpace memory = memory_of(order, std::vector<std::byte>(30));
    ASSERT_TRUE(run(text, memory));
    std::vector<unsigned> bytes;
    for (const std::byte byte : memory.regions()[0].bytes) {
      bytes.push_back(std::to_integer<unsigned>(byte));
    }
    EXPECT_EQ(bytes, order == std::endian::little ? little : big);
  }
}

TEST(Interpreter, TracesCallsInTheOrderOfExecution) {
  // main[1] and main[2] are skipped by the jump; twice[1] runs before main[3].
  const Program program = valid_program_of(R"(
call local twice
ja +2
call local twice
call local leaf
call local leaf
exit
twice:
call local leaf
call local leaf
exit
leaf:
mov %r0, 9
exit
)");
  AddressSpace memory = memory_of(std::endian::little);
  const InterpreterRun run = interpret(program, {}, {}, kStackTop, memory).value();
  const std::vector<PseudoCall> expected = {
      {{0, 0}, 0, 1}, {{1, 0}, 6, 2}, {{1, 1}, 7, 2}, {{0, 3}, 4, 2}};
  EXPECT_EQ(run.calls, expected);
  EXPECT_EQ(run.r0, 9);
  EXPECT_EQ(run.instructions, 13);
}

TEST(Interpreter, RecursionHasFramesOfItsOwn) {
  // sum(n) = n + sum(n - 1), with n kept on the stack across the call.
  const std::string text = R"(
mov %r1, 10
call local sum
exit
sum:
stxdw [%r10-8], %r1
mov %r0, 0
jeq %r1, 0, exit
sub %r1, 1
call local sum
ldxdw %r1, [%r10-8]
add %r0, %r1
exit
)";
  AddressSpace memory = memory_of(std::endian::little);
  const InterpreterRun result = run(text, memory).value();
  EXPECT_EQ(result.r0, 55);
  EXPECT_EQ(result.calls.size(), 11);
  // sum(10) has the first frame below main's, sum(1) the tenth.
  EXPECT_EQ(memory.load({kStackTop.value - 10 * kFrameBytes - 8}, 8).value(), 1);
  EXPECT_EQ(memory.load({kStackTop.value - 9 * kFrameBytes - 8}, 8).value(), 2);
}

// As Linux's verifier counts: each frame down to its deepest byte, in units of 32 bytes.
TEST(Interpreter, TellsHowMuchStackWasInUseAtOnce) {
  AddressSpace memory = memory_of(std::endian::little);
  const auto use = [&](const std::string& text) { return run(text, memory).value().stack_use; };
  EXPECT_EQ(use("mov %r0, 1\nexit\n"), (StackUse{.frames = 1, .bytes = 32}));
  EXPECT_EQ(use("stdw [%r10-32], 1\nmov %r0, 1\nexit\n"), (StackUse{.frames = 1, .bytes = 32}));
  EXPECT_EQ(use("stb [%r10-33], 1\nmov %r0, 1\nexit\n"), (StackUse{.frames = 1, .bytes = 64}));
  // Both callees are never there together; the second writes into its caller's frame.
  EXPECT_EQ(use(R"(
    call local first
    mov %r1, %r10
    call local second
    exit
    first:
    stdw [%r10-512], 1
    mov %r0, 1
    exit
    second:
    stdw [%r1-200], 1
    mov %r0, 1
    exit
  )"),
            (StackUse{.frames = 2, .bytes = 32 + 512}));
}

TEST(Interpreter, CalleeSavedRegistersAndFramePointerSurviveCalls) {
  EXPECT_EQ(r0_of(R"(
mov %r6, 6
mov %r7, 70
mov %r8, 800
mov %r9, 9000
stxdw [%r10-8], %r10
call local clobber
ldxdw %r5, [%r10-8]
sub %r5, %r10
mov %r0, %r5
add %r0, %r6
add %r0, %r7
add %r0, %r8
add %r0, %r9
exit
clobber:
mov %r6, 0
mov %r7, 0
mov %r8, 0
mov %r9, 0
exit
)"),
            9876);
  // What a callee sees: its frame pointer is 512 below the caller's.
  EXPECT_EQ(r0_of("mov %r1, %r10\ncall local f\nexit\nf: mov %r0, %r1\nsub %r0, %r10\nexit\n"),
            512);
}

TEST(Interpreter, CallsBackToMain) {
  EXPECT_EQ(r0_of("add %r3, 1\nmov %r0, %r3\njgt %r3, 4, exit\ncall local main\nexit\n"), 5);
}

struct Refusal {
  std::string text;
  std::string message;
  unsigned line;
};

TEST(Interpreter, RefusesBadAccesses) {
  const std::vector<Refusal> refusals = {
      {"ldxw %r0, [%r1+5]\nexit\n",
       "main+0: load of 4 bytes at 0000000000001005: runs over the end of data at 0000000000001008",
       1},
      {"mov %r0, 0\nldxb %r0, [%r1-1]\nexit\n",
       "main+1: load of 1 byte at 0000000000000fff: lies in no region: it is 1 byte before data",
       2},
      {"mov %r0, 0\nldxb %r0, [%r1+10]\nexit\n",
       "main+1: load of 1 byte at 000000000000100a: lies in no region: it is at offset 10 of "
       "data, which has 8 bytes",
       2},
      {"mov %r1, 0x2000\nldxh %r0, [%r1]\nstb [%r1+1], 1\nexit\n",
       "main+2: store of 1 byte at 0000000000002001: table is read-only", 3},
      {"stdw [%r10], 1\nexit\n",
       "main+0: stdw of 8 bytes at r10+0 of its frame: a frame is the 512 bytes below r10", 1},
      {"mov %r1, -4\nldxdw %r0, [%r1]\nexit\n",
       "main+1: load of 8 bytes at fffffffffffffffc: lies in no region", 2},
  };
  for (const Refusal& refusal : refusals) {
    AddressSpace memory = memory_of(std::endian::little, std::vector<std::byte>(8));
    const Result<InterpreterRun> result = run(refusal.text, memory);
    ASSERT_FALSE(result) << refusal.text;
    EXPECT_EQ(result.error().code, ErrorCode::interpreter_bad_access);
    EXPECT_EQ(result.error().message, refusal.message);
    EXPECT_EQ(result.error().where, (SourceLocation{"test", refusal.line, 1}));
  }
}

TEST(Interpreter, StopsAtTheInstructionBudget) {
  AddressSpace memory = memory_of(std::endian::little);
  EXPECT_EQ(run("ja -1\n", memory).error().code, ErrorCode::interpreter_budget);
  EXPECT_TRUE(run("mov %r0, 1\nexit\n", memory, {.instructions = 2}));
  EXPECT_EQ(run("mov %r0, 1\nexit\n", memory, {.instructions = 1}).error().code,
            ErrorCode::interpreter_budget);
}

TEST(Interpreter, StopsAtTheCallDepth) {
  const std::string text = "call local f\nexit\nf: call local g\nexit\ng: exit\n";
  AddressSpace memory = memory_of(std::endian::little);
  EXPECT_TRUE(run(text, memory, {.call_depth = 3}));
  const Result<InterpreterRun> refused = run(text, memory, {.call_depth = 2});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::interpreter_call_depth);
  EXPECT_EQ(refused.error().site, "f[0]");
  EXPECT_EQ(run("call local main\nexit\n", memory).error().code, ErrorCode::interpreter_call_depth);
}
}  // namespace
}  // namespace farcall::bpf::interpreter_test
