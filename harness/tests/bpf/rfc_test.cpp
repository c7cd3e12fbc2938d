// The interpreter against what RFC 9669 says; tests/run/sweep_test.cpp holds the CPU to the same.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "bpf/instruction.hpp"
#include "bpf/interpreter.hpp"
#include "build.hpp"
#include "rfc_vectors.hpp"

namespace farcall::bpf::rfc_test {
namespace {

constexpr GuestAddress kStack{0x100000};
constexpr GuestAddress kCell{0x1000};
constexpr std::array kOrders = {std::endian::little, std::endian::big};

struct Ran {
  std::uint64_t r0 = 0;
  AddressSpace memory;
};

Ran run(const std::string& text, std::endian order) {
  AddressSpace memory({{.name = "cell", .address = kCell, .bytes = std::vector<std::byte>(64)}},
                      order);
  const auto result =
      interpret(valid_program_of(text), {}, {kCell.value}, kStack + kFrameBytes, memory);
  EXPECT_TRUE(result.has_value()) << text;
  return {result ? result.value().r0 : 0, memory};
}

TEST(Rfc9669, Arithmetic) {
  for (const RfcVector& v : kRfcVectors) {
    const std::string text = fmt::format(
        "lddw %r1, {:#x}\nlddw %r2, {:#x}\n{}\nmov %r0, %r1\nexit\n", v.a, v.b, v.instruction);
    for (const std::endian order : kOrders) {
      EXPECT_EQ(run(text, order).r0, v.expected)
          << v.section << ": " << v.instruction << std::hex << " with " << v.a << ", " << v.b;
    }
  }
}

TEST(Rfc9669, Atomics) {
  for (const RfcAtomicVector& v : kRfcAtomicVectors) {
    const bool wide = v.instruction.find("32 ") == std::string_view::npos;
    const char* const size = wide ? "dw" : "w";
    const std::string text = fmt::format(
        "lddw %r3, {:#x}\nstx{} [%r1], %r3\nlddw %r0, {:#x}\nlddw %r2, {:#x}\n{}\n"
        "stxdw [%r1+8], %r0\nstxdw [%r1+16], %r2\nldx{} %r3, [%r1]\nstxdw [%r1+24], %r3\nexit\n",
        v.memory, size, v.a, v.b, v.instruction, size);
    for (const std::endian order : kOrders) {
      const Ran ran = run(text, order);
      const auto at = [&](std::uint64_t offset) {
        return ran.memory.load(kCell + offset, 8).value();
      };
      EXPECT_EQ(at(8), v.r0_after) << v.instruction;
      EXPECT_EQ(at(16), v.r2_after) << v.instruction;
      EXPECT_EQ(at(24), v.memory_after) << v.instruction;
    }
  }
}

// 5.3: a 32-bit atomic leaves the four bytes beside its own alone.
TEST(Rfc9669, NarrowAtomicsLeaveTheirNeighboursAlone) {
  for (const std::endian order : kOrders) {
    const Ran ran = run("stdw [%r1], -1\nmov %r2, 1\nlock add32 [%r1+4], %r2\nexit\n", order);
    EXPECT_EQ(ran.memory.load(kCell, 4).value(), 0xffffffff);
    EXPECT_EQ(ran.memory.load(kCell + 4, 4).value(), 0);
  }
}

// 5.2: "sign-extension load operations" of a byte, a halfword, a word.
TEST(Rfc9669, LoadsThatExtendBySign) {
  for (const std::endian order : kOrders) {
    EXPECT_EQ(run("stb [%r1], 0x80\nldxsb %r0, [%r1]\nexit\n", order).r0, minus(0x80));
    EXPECT_EQ(run("stb [%r1], 0x7f\nldxsb %r0, [%r1]\nexit\n", order).r0, 0x7f);
    EXPECT_EQ(run("sth [%r1], 0x8001\nldxsh %r0, [%r1]\nexit\n", order).r0, minus(0x7fff));
    EXPECT_EQ(run("sth [%r1+1], 0x7fff\nldxsh %r0, [%r1+1]\nexit\n", order).r0, 0x7fff);
    EXPECT_EQ(run("stw [%r1], 0x80000000\nldxsw %r0, [%r1]\nexit\n", order).r0, 0xffffffff80000000);
    EXPECT_EQ(run("stw [%r1], 0x7fffffff\nldxsw %r0, [%r1]\nexit\n", order).r0, 0x7fffffff);
  }
}

// 4.3, table 9: JA of class JMP32 goes by `imm`.
TEST(Rfc9669, LongJumps) {
  EXPECT_EQ(run("mov %r0, 1\nja32 +1\nmov %r0, 2\nexit\n", std::endian::little).r0, 1);
  std::string text = "mov %r0, 1\nja32 far\nback: exit\n";
  for (int i = 0; i < 40'000; ++i) {
    text += "mov %r0, 2\n";
  }
  EXPECT_EQ(run(text + "far: add %r0, 4\nja32 back\n", std::endian::big).r0, 5);
}

TEST(Rfc9669, AtomicsMustBeAligned) {
  AddressSpace memory({{.name = "cell", .address = kCell, .bytes = std::vector<std::byte>(64)}},
                      std::endian::little);
  const auto result = interpret(valid_program_of("lock add [%r1+4], %r2\nexit\n"), {},
                                {kCell.value}, kStack, memory);
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().message,
            "main+0: lock add at 0000000000001004: an atomic access must be aligned to its size");
}

// Every arithmetic row and every atomic has a row here.
TEST(Rfc9669, TheVectorsKnowEachNewInstruction) {
  for (const InstructionInfo& info : kInstructions) {
    const bool is_new =
        info.form == Form::atomic || info.sign_bits != 0 || info.operation == Operation::swap ||
        info.operation == Operation::signed_div || info.operation == Operation::signed_mod;
    const auto names = [&](const auto& vector) {
      return vector.instruction.starts_with(fmt::format("{} ", info.mnemonic));
    };
    if (is_new && info.mnemonic.find("32") == std::string_view::npos) {
      EXPECT_TRUE(std::ranges::any_of(kRfcVectors, names) ||
                  std::ranges::any_of(kRfcAtomicVectors, names))
          << info.mnemonic;
    }
  }
}

}  // namespace
}  // namespace farcall::bpf::rfc_test
