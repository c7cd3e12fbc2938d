// The table of faults, and what their transforms leave as it was.
#include <gmock/gmock.h>

#include <algorithm>
#include <memory>
#include <set>
#include <string>

#include "faults/fault.hpp"

namespace farcall::faults::faults_test {
namespace {

TEST(Faults, HaveNamesOfTheirOwnAndSaySomething) {
  std::set<std::string> names;
  for (const Fault& fault : all_faults()) {
    EXPECT_TRUE(names.insert(fault.name).second) << fault.name;
    EXPECT_FALSE(fault.what.empty()) << fault.name;
    EXPECT_FALSE(fault.source.empty()) << fault.name;
  }
}

TEST(Faults, NoneChangesACellThatDoesNotComeToCode) {
  model::Document without_code;
  for (const Fault& fault : all_faults()) {
    EXPECT_FALSE(with_fault(fault, without_code).has_value()) << fault.name;
  }
}

TEST(Faults, InFarcallsLinkerAreNotForOtherJits) {
  const Fault& linker = *fault_named("pair-halves-swapped");
  EXPECT_EQ(not_applicable(linker, "farcall"), "");
  EXPECT_THAT(not_applicable(linker, "kernel:6.12"), testing::HasSubstr("farcall's linker"));
  EXPECT_THAT(not_applicable(*fault_named("bl-wraps"), "exec:jit"), testing::HasSubstr("reaches"));
  EXPECT_THAT(not_applicable(*fault_named("division-by-zero"), "kernel:6.12"),
              testing::HasSubstr("verifier"));
  EXPECT_EQ(not_applicable(*fault_named("division-by-zero"), "exec:jit"), "");
  EXPECT_EQ(not_applicable(*fault_named("result-bit"), "kernel:6.12"), "");
}

// `mov %r0, 1; exit` and a function that returns 2, as some JIT has them: no calls told, no lines.
model::Document of_another_jit(std::vector<std::uint32_t> words) {
  auto program = std::make_shared<bpf::Program>();
  program->slots = {{.opcode = 0x85, .src = 1, .imm = 1},
                    {.opcode = 0x95},
                    {.opcode = 0xb7, .imm = 2},
                    {.opcode = 0x95}};
  program->functions = {{.name = "main", .begin = 0, .end = 2},
                        {.name = "two", .begin = 2, .end = 4}};
  model::Document document;
  document.cell.placement.functions = {{0xc0080000'00010000}, {0xc0080000'12340000}};
  document.cell.program = std::move(program);
  document.image.emplace();
  document.image->functions = {
      {.name = "main", .address = {0xc0080000'00010000}, .words = std::move(words)},
      {.name = "two", .address = {0xc0080000'12340000}, .words = {0x38600002, 0x4e800020}}};
  document.image->entry = {0xc0080000'00010000};
  return document;
}

// Linux leaves halfwords out that are zero.
TEST(Faults, FindTheAddressOfACallThatTakesFewerWords) {
  const model::Document right = of_another_jit({0x3d80c008,    // lis r12,0xc008
                                                0x798c07c6,    // sldi r12,r12,32
                                                0x658c1234,    // oris r12,r12,0x1234
                                                0x60000000,    // nop
                                                0x7d8903a6,    // mtctr r12
                                                0x4e800421,    // bctrl
                                                0x4e800020});  // blr
  const auto wrong = with_fault(*fault_named("truncated-address"), right);
  ASSERT_TRUE(wrong.has_value());
  std::vector<std::uint32_t> words = right.image->functions[0].words;
  words[0] = 0x3d80c000;
  EXPECT_EQ(wrong->image->functions[0].words, words);
  const auto left_out = with_fault(*fault_named("call-left-out"), right);
  ASSERT_TRUE(left_out.has_value());
  EXPECT_EQ(left_out->image->functions[0].words[5], 0x60000000U);
}

TEST(Faults, TakeTheCodeOfOtherProgramsFromTheJitUnderTest) {
  const model::Document right = of_another_jit({0x38600001, 0x4e800020});
  std::size_t asked = 0;
  const CodeOf code_of = [&](const model::Cell& cell) {
    ++asked;
    EXPECT_EQ(cell.program->slots[2].imm, -1);
    model::CodeImage image = *right.image;
    image.functions[1].words[0] = 0x3860ffff;
    return std::optional(std::move(image));
  };
  const Fault fault{
      .name = "one",
      .part = Part::jit,
      .what = "one",
      .source = "ours",
      .transform = Mistranslates{
          [](std::span<const bpf::Slot> one) -> std::optional<std::vector<bpf::Slot>> {
            if (one.front().imm != 2) {
              return std::nullopt;
            }
            bpf::Slot other = one.front();
            other.imm = -1;
            return std::vector{other};
          }}};
  const auto wrong = with_fault(fault, right, code_of);
  EXPECT_EQ(asked, 1U);
  ASSERT_TRUE(wrong.has_value());
  EXPECT_EQ(wrong->image->functions[1].words[0], 0x3860ffffU);
  EXPECT_FALSE(with_fault(fault, right,
                          [&](const model::Cell&) {  // the same code: no fault
                            return right.image;
                          })
                   .has_value());
  EXPECT_FALSE(with_fault(*fault_named("pair-halves-swapped"), right).has_value());
  // Without a line table nobody knows what is prologue, body or epilogue.
  EXPECT_FALSE(with_fault(*fault_named("lr-not-restored"), right).has_value());
}

// Without a fault the answer is taken: it is the fault that is refused.
TEST(Faults, ABatchThatIsAnsweredWellIsTaken) {
  EXPECT_FALSE(refused_answer({[](auto, const auto&, auto) {}}).has_value());
}

}  // namespace
}  // namespace farcall::faults::faults_test
