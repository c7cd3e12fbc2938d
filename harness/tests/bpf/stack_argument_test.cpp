#include "bpf/stack_argument.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "bpf/codec.hpp"
#include "bpf/disassembler.hpp"
#include "bpf/interpreter.hpp"
#include "build.hpp"

namespace farcall::bpf::stack_argument_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Result<InterpreterRun> run(const std::string& text) {
  const Program program = valid_program_of(text);
  std::vector<GuestAddress> addresses;
  for (std::size_t i = 0; i < program.functions.size(); ++i) {
    addresses.push_back({0x10000 * (i + 1)});
  }
  AddressSpace memory({}, std::endian::little);
  return interpret(program, addresses, {}, {0xc000000000102000}, memory);
}

std::string refusal(const std::string& text) {
  const auto ran = run(text);
  return ran ? "no refusal" : to_string(ran.error());
}

// As clang-19 and clang-22 assemble `*(u64 *)(r11 - 8) = r1` and `r2 = *(u64 *)(r11 + 16)`.
TEST(StackArgument, BytesByHand) {
  const Program program = program_of("stxdw [%r11-8], %r1\nldxdw %r2, [%r11+16]\nexit\n");
  const auto bytes = [&](std::size_t slot, std::endian order) {
    std::vector<int> found;
    for (const std::byte byte : encode(program.slots[slot], order)) {
      found.push_back(std::to_integer<int>(byte));
    }
    return found;
  };
  EXPECT_THAT(bytes(0, std::endian::little), ElementsAre(0x7b, 0x1b, 0xf8, 0xff, 0, 0, 0, 0));
  EXPECT_THAT(bytes(0, std::endian::big), ElementsAre(0x7b, 0xb1, 0xff, 0xf8, 0, 0, 0, 0));
  EXPECT_THAT(bytes(1, std::endian::little), ElementsAre(0x79, 0xb2, 0x10, 0, 0, 0, 0, 0));
  EXPECT_THAT(bytes(1, std::endian::big), ElementsAre(0x79, 0x2b, 0, 0x10, 0, 0, 0, 0));
  EXPECT_TRUE(has_stack_arguments(program));
  EXPECT_FALSE(has_stack_arguments(program_of("ldxdw %r2, [%r10-8]\nexit\n")));
  EXPECT_THAT(disassemble(program), HasSubstr("stxdw [%r11-8], %r1\nldxdw %r2, [%r11+16]\n"));
  EXPECT_EQ(program_of(disassemble(program)), program);
}

TEST(StackArgument, NothingElseMayNameTheirRegister) {
  for (const char* const good : {"stxdw [%r11-8], %r10", "stdw [%r11-56], -1",
                                 "ldxdw %r0, [%r11+8]", "ldxdw %r9, [%r11+56]"}) {
    EXPECT_TRUE(validate(program_of(std::string(good) + "\nexit\n"))) << good;
  }
  for (const char* const bad :
       {"stxdw [%r11+8], %r1", "stxdw [%r11-64], %r1", "stxdw [%r11-4], %r1", "stxdw [%r11], %r1",
        "stxw [%r11-8], %r1", "release stxdw [%r11-8], %r1", "lock add [%r11-8], %r1",
        "stxdw [%r11-8], %r11", "stxdw [%r1-8], %r11", "ldxdw %r1, [%r11-8]",
        "ldxdw %r1, [%r11+64]", "ldxdw %r1, [%r11+0]", "ldxw %r1, [%r11+8]",
        "acquire ldxdw %r1, [%r11+8]", "ldxdw %r11, [%r11+8]", "ldxdw %r11, [%r1+8]",
        "mov %r1, %r11", "mov %r11, %r1"}) {
    const auto refused = validate(program_of(std::string(bad) + "\nexit\n"));
    ASSERT_FALSE(refused) << bad;
    EXPECT_EQ(refused.error().code, ErrorCode::bpf_bad_register) << bad;
    EXPECT_THAT(refused.error().hint, HasSubstr("'stxdw [%r11-8], %r1' passes the sixth"));
  }
}

TEST(StackArgument, ACallTakesThem) {
  const std::string callee = "callee:\nldxdw %r0, [%r11+16]\nexit\n";
  const std::string pass = "stdw [%r11-16], 9\n";
  const auto once = run(pass + "call local callee\nexit\n" + callee);
  ASSERT_TRUE(once) << to_string(once.error());
  EXPECT_EQ(once.value().r0, 9U);
  EXPECT_TRUE(
      run(pass + "call local callee\ncall local callee\nexit\n" + callee).value().undefined_result);
  EXPECT_TRUE(run("call local callee\nexit\n" + callee).value().undefined_result);
  EXPECT_TRUE(
      run("stdw [%r11-24], 9\ncall local callee\nexit\n" + callee).value().undefined_result);
  EXPECT_THAT(refusal("ldxdw %r1, [%r11+8]\njeq %r1, 0, +0\nmov %r0, 0\nexit\n"),
              HasSubstr("depends on memory that main+0 (ldxdw %r1, [%r11+8])"));
}

}  // namespace
}  // namespace farcall::bpf::stack_argument_test
