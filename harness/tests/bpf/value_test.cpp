// What is undefined, and what depends on it.
#include "bpf/value.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "bpf/interpreter.hpp"
#include "build.hpp"

namespace farcall::bpf::value_test {
namespace {

using testing::HasSubstr;

constexpr GuestAddress kStack{0xc000000000100000};
constexpr GuestAddress kStackTop = kStack + kMostFrames * kFrameBytes;
constexpr GuestAddress kData{0x1000};

struct Ran {
  Result<InterpreterRun> run;
  AddressSpace memory;
};
Ran run(const std::string& text, std::endian order = std::endian::little) {
  AddressSpace memory({{.name = "data", .address = kData, .bytes = std::vector<std::byte>(16)}},
                      order);
  auto result =
      interpret(valid_program_of(text), {}, {kData.value, 16, 0, 0, 0}, kStackTop, memory);
  return {std::move(result), std::move(memory)};
}

std::string error_of(const std::string& text) {
  const auto ran = run(text);
  if (!ran.run) {
    return std::string(name(ran.run.error().code)) + " " + ran.run.error().message;
  }
  return ran.run.value().undefined_result ? "result " + ran.run.value().undefined_result->message
                                          : "";
}

TEST(Undefined, MayBeCopiedAndComputedWith) {
  for (const char* text : {
           "mov %r1, %r6\nadd %r1, 5\nmov %r0, 1\nexit\n",
           "ldxdw %r1, [%r10-8]\nstxdw [%r10-16], %r1\nmov %r0, 1\nexit\n",
           "xor %r6, %r6\nmov %r0, %r6\nexit\n",  // compilers do that
           "sub %r6, %r6\njeq %r6, 0, +1\nexit\nmov %r0, 1\nexit\n",
           "stb [%r10-8], 5\nldxdw %r0, [%r10-8]\nand %r0, 255\nexit\n",
           "stw [%r10-8], 5\nldxdw %r0, [%r10-8]\nlsh %r0, 32\nrsh %r0, 32\nexit\n",
           "ldxdw %r0, [%r10-8]\nor %r0, -1\nexit\n",
           "stxdw [%r1], %r6\nstdw [%r1], 5\nmov %r0, 1\nexit\n",  // overwritten
           "or %r6, 1\njset %r6, 1, +1\nexit\nmov %r0, 1\nexit\n",
           "rsh %r6, 32\njgt %r6, -1, +1\nmov %r0, 1\nexit\n",
       }) {
    EXPECT_EQ(error_of(text), "") << text;
  }
}

TEST(Undefined, IsTheCasesErrorWhereSomethingDependsOnIt) {
  struct Vector {
    const char* text;
    const char* message;
  };
  for (const Vector& v : std::vector<Vector>{
           {"exit\n", "result main+0 (exit): the result, %r0, depends on %r0, which main has not"},
           {"mov %r0, %r7\nexit\n", "result main+1 (exit): the result, %r0, depends on %r7"},
           {"mov %r0, 1\njeq %r6, 0, +0\nexit\n",
            "case.undefined-value main+1 (jeq %r6, 0, +0): its condition, %r6, depends on %r6, "
            "which main has not written"},
           {"mov %r0, 1\njgt %r1, %r8, +0\nexit\n", "its condition, %r8, depends on %r8"},
           {"rsh %r6, 1\nmov %r0, %r6\nexit\n", "result main+2 (exit)"},
           {"ldxdw %r0, [%r6+8]\nexit\n",
            "case.undefined-value main+0 (ldxdw %r0, [%r6+8]): the "
            "address, %r6, depends on %r6"},
           {"stdw [%r6], 1\nmov %r0, 1\nexit\n", "case.undefined-value main+0"},
           {"ldxdw %r6, [%r10-8]\nmov %r0, %r6\nexit\n",
            "result main+2 (exit): the result, %r0, depends on memory that main+0 (ldxdw %r6, "
            "[%r10-8]) reads and nobody has written"},
           {"stw [%r10-8], 5\nldxdw %r0, [%r10-8]\nexit\n", "result main+2"},
           {"mov %r0, 1\nstxb [%r1+3], %r9\nexit\n",
            "case.undefined-value main+1 (stxb [%r1+3], %r9): data+3 at the end depends on %r9"},
           {"call local f\nmov %r0, %r3\nexit\nf: mov %r0, 1\nexit\n",
            "result main+2 (exit): the result, %r0, depends on %r3, which nobody has written "
            "after main+0 (call local f)"},
           {"mov %r6, 1\ncall local f\nexit\nf: mov %r0, %r6\nexit\n",
            "result main+2 (exit): the result, %r0, depends on %r6, which f has not written"},
           {"call local f\nexit\nf: exit\n", "depends on %r0, which f has not written"},
           {"mov %r0, 1\nstdw [%r10-8], 1\ncall local f\ncall local f\nexit\n"
            "f: ldxdw %r0, [%r10-8]\nstdw [%r10-8], 7\nexit\n",  // a frame begins anew each time
            "depends on memory that f+0"},
           {"mov %r0, 1\nlock cmpxchg [%r1], %r2\nlock add [%r1+8], %r7\nexit\n", "data+8 at"},
           {"lock cmpxchg [%r1], %r2\nexit\n", "the comparison depends on %r0"},
       }) {
    EXPECT_THAT(error_of(v.text), HasSubstr(v.message)) << v.text;
  }
}

TEST(Frames, HaveBounds) {
  for (const char* text : {"stdw [%r10-512], 1\nmov %r0, 0\nexit\n",
                           "mov %r1, %r10\nadd %r1, -512\nstb [%r1+511], 1\nmov %r0, 0\nexit\n",
                           // a caller's frame by a pointer
                           "mov %r1, %r10\ncall local f\nldxb %r0, [%r10-1]\nexit\n"
                           "f: stb [%r1-1], 1\nexit\n"}) {
    EXPECT_EQ(error_of(text), "") << text;
  }
  for (const char* text :
       {"ldxdw %r0, [%r10-4096]\nexit\n", "stdw [%r10-4096], 1\nmov %r0, 0\nexit\n",
        "stdw [%r10-520], 1\nmov %r0, 0\nexit\n", "stw [%r10-514], 1\nmov %r0, 0\nexit\n",
        "stdw [%r10], 1\nexit\n", "stdw [%r10-4], 1\nexit\n",
        "call local f\nexit\nf: stdw [%r10], 1\nmov %r0, 0\nexit\n",
        "call local f\nldxdw %r0, [%r0-8]\nexit\nf: stdw [%r10-8], 1\nmov %r0, %r10\nexit\n"}) {
    EXPECT_THAT(error_of(text), HasSubstr("interpreter.bad-access")) << text;
  }
  EXPECT_THAT(error_of("stdw [%r10-520], 1\nexit\n"), HasSubstr("main+0: stdw of 8 bytes at "
                                                                "r10-520 of its frame"));
}

TEST(StackPointers, AreComparedAndSubtractedWhereThatMeansTheSame) {
  for (const char* text :
       {"mov %r1, %r10\nadd %r1, -8\nmov %r0, %r10\nsub %r0, %r1\nexit\n",
        "mov %r1, %r10\njeq %r1, 0, +2\nmov %r0, 1\nexit\nmov %r0, 2\nexit\n",
        "mov %r0, 1\nmov %r1, %r10\nadd %r1, -16\njlt %r1, %r10, +1\nmov %r0, 2\nexit\n",
        "mov %r0, %r10\nand %r0, 7\nexit\n",
        "mov %r1, %r10\nstxdw [%r10-8], %r1\nldxdw %r2, [%r10-8]\nstb [%r2-9], 3\n"
        "ldxb %r0, [%r10-9]\nexit\n"}) {
    EXPECT_EQ(error_of(text), "") << text;
  }
  for (const char* text : {"mov %r0, %r10\nand %r0, 255\nexit\n", "mov32 %r0, %r10\nexit\n",
                           "mov %r0, %r10\nmul %r0, 3\nexit\n"}) {
    EXPECT_THAT(error_of(text), HasSubstr("where in memory the stack is")) << text;
  }
}

TEST(StackPointers, InMemoryAreToldWithTheirFrame) {
  const auto ran = run("mov %r2, %r10\nadd %r2, -8\nstxdw [%r1+8], %r2\nmov %r0, %r2\nexit\n");
  ASSERT_TRUE(ran.run);
  EXPECT_EQ(ran.run.value().stack_pointers, (std::vector<StoredPointer>{{kData + 8, 1}}));
  EXPECT_EQ(ran.run.value().r0_frame, 1U);
  EXPECT_EQ(ran.memory.load_value(kData + 8, 8).value().bits, kStackTop.value - 8);
  // A part of one is a number that nobody knows.
  EXPECT_THAT(error_of("mov %r0, 1\nstxw [%r1], %r10\nexit\n"), HasSubstr("case.undefined-value"));
  EXPECT_THAT(error_of("mov %r0, 1\nstxdw [%r1], %r10\nstb [%r1+3], 1\nexit\n"),
              HasSubstr("data+0 at the end depends on where in memory the stack is"));
}

TEST(LeftFrames, AreToldByteByByte) {
  const auto ran = run("sth [%r10-8], 0x0201\nstxdw [%r10-16], %r10\nmov %r0, 1\nexit\n");
  EXPECT_EQ(ran.run.value().frames,
            (std::vector<LeftFrame>{{0, {{8, std::byte{1}}, {7, std::byte{2}}}}}));
}

TEST(LeftFrames, AreThoseThatNobodyTookLater) {
  const std::string callees =
      "exit\n"
      "one: stb [%r10-1], 1\nmov %r0, 0\nexit\n"
      "two: call local one\nstb [%r10-2], 2\nmov %r0, 0\nexit\n"
      "none: mov %r0, 0\nexit\n";
  const auto functions = [&](const std::string& main) {
    const auto ran = run(main + callees);
    std::vector<std::uint32_t> left;
    for (const LeftFrame& frame : ran.run.value().frames) {
      left.push_back(frame.function);
    }
    return left;
  };
  using Left = std::vector<std::uint32_t>;
  // Functions are numbered in the order in which they lie: main, one, two, none.
  EXPECT_EQ(functions("call local none\ncall local two\n"), (Left{0, 2, 1}));
  EXPECT_EQ(functions("call local two\ncall local one\n"), (Left{0, 1}));
  // It took the place of the others, and left nothing there itself.
  EXPECT_EQ(functions("call local two\ncall local none\n"), (Left{0}));
}

// Whatever the undefined bits are, a result differs only in bits that are said to be undefined.
TEST(UndefinedBits, CoverAllThatCanDiffer) {
  using Function = std::function<std::uint64_t(std::uint64_t, std::uint64_t)>;
  struct Row {
    Operation operation;
    Function compute;
  };
  const std::vector<Row> rows = {
      {Operation::add, [](auto a, auto b) { return a + b; }},
      {Operation::sub, [](auto a, auto b) { return a - b; }},
      {Operation::mul, [](auto a, auto b) { return a * b; }},
      {Operation::bit_and, [](auto a, auto b) { return a & b; }},
      {Operation::bit_or, [](auto a, auto b) { return a | b; }},
      {Operation::bit_xor, [](auto a, auto b) { return a ^ b; }},
      {Operation::lsh, [](auto a, auto b) { return a << (b & 63); }},
      {Operation::rsh, [](auto a, auto b) { return a >> (b & 63); }},
      {Operation::div, [](auto a, auto b) { return b == 0 ? 0 : a / b; }},
  };
  constexpr std::uint64_t kMask = 0x8000'0100'0000'0005;  // four bits
  const auto choice = [](std::uint64_t number) {
    return (number & 1) | (number & 2) << 1 | (number & 4) << 38 | (number & 8) << 60;
  };
  ASSERT_EQ(choice(15), kMask);
  for (const std::uint64_t base :
       std::vector<std::uint64_t>{0x0123'4067'89ab'cde0, 0x7fff'f0ff'ffff'fff2, 0}) {
    for (const auto& [operation, compute] : rows) {
      for (const bool both : {false, true}) {
        const Value a{.bits = base, .undefined = kMask};
        const Value b{.bits = base + 8, .undefined = both ? kMask : 0};
        const std::uint64_t undefined = undefined_bits(operation, a, b, 64, false);
        for (std::uint64_t i = 0; i < 256; ++i) {
          const std::uint64_t of_b = both ? choice(i / 16) : 0;
          const std::uint64_t one =
              compute(a.bits | choice(i % 16), (b.bits & ~b.undefined) | of_b);
          const std::uint64_t other = compute(a.bits & ~kMask, b.bits & ~b.undefined);
          EXPECT_EQ((one ^ other) & ~undefined, 0U)
              << static_cast<int>(operation) << " " << std::hex << base << " " << i;
        }
      }
    }
  }
}

}  // namespace
}  // namespace farcall::bpf::value_test
