#include "check/steps.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bpf/assembler.hpp"
#include "bpf/instruction.hpp"

namespace farcall::check::steps_test {
namespace {

using testing::HasSubstr;

constexpr GuestAddress kMain = {0xc000'0000'0001'0000};
constexpr GuestAddress kCallee = {0xc008'0000'0012'a468};
constexpr std::uint64_t kStackTop = 0xc000'0000'0200'4000;

// A program of two functions, as the interpreter runs it; and the CPU's steps, as if each
// instruction were one word with the same registers, BPF's rN in ppc64's rN. The CPU's stack lies
// elsewhere.
struct Scene {
  bpf::Program program = bpf::assemble(
                             "mov %r6, 40\nmov %r1, %r10\ncall local callee\nadd %r0, %r6\n"
                             "jne %r0, 41, +1\nexit\nmov %r0, 0\nexit\n"
                             "callee:\nstxdw [%r1-8], %r6\nmov %r0, 2\nexit\n",
                             {"test", 1, 1})
                             .value();
  model::CodeImage image = {
      // Each function's exits but the last jump to the epilogue, which is the last word.
      .functions =
          {{.name = "main",
            .address = kMain,
            .words = std::vector<std::uint32_t>(8),
            .lines = {{0, 0}, {1, 1}, {2, 2}, {3, 3}, {4, 4}, {5, 5}, {6, 6}, {7, 7}, {8, 7}}},
           {.name = "callee",
            .address = kCallee,
            .words = std::vector<std::uint32_t>(3),
            .lines = {{0, 0}, {1, 1}, {2, 2}, {3, 2}}}},
      .entry = kMain,
      .bpf_registers = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}};
  std::vector<bpf::InterpreterStep> interpreter;
  std::vector<model::Step> cpu;

  static constexpr std::uint64_t kStackShift = 0x123'0000;

  Scene() {
    bpf::AddressSpace memory({}, std::endian::little);
    const auto run = bpf::interpret(
        program, {}, {}, {kStackTop}, memory,
        {.watch = [this](const bpf::InterpreterStep& step) { interpreter.push_back(step); }});
    EXPECT_TRUE(run.has_value()) << to_string(run.error());
    for (const bpf::InterpreterStep& step : interpreter) {
      const bool in_callee = step.slot >= program.functions[1].begin;
      model::Step seen{.address = in_callee ? kCallee + 4 * (step.slot - program.functions[1].begin)
                                            : kMain + 4 * step.slot};
      for (std::size_t i = 0; i < bpf::kRegisterCount; ++i) {
        const bool in_stack = kStackTop - step.registers[i] < 0x1000;
        seen.gpr[i] = step.registers[i] + (in_stack ? kStackShift : 0);
      }
      cpu.push_back(seen);
    }
  }

  StepComparison compare() const { return compare_steps(program, image, interpreter, cpu); }
};

TEST(CompareSteps, AgreesWhereAddressesInTheStackAreOthers) {
  const Scene scene;
  const StepComparison comparison = scene.compare();
  EXPECT_FALSE(comparison.difference) << comparison.difference->what;
  ASSERT_EQ(comparison.pairs.size(), 10U);  // 42 is not 41: the second exit
  EXPECT_EQ(comparison.pairs[3].cpu->address, kCallee);
  EXPECT_EQ(comparison.pairs[1].cpu->registers[6], 40U);  // a function finds no value in r6
}

TEST(CompareSteps, FirstDifferingRegisterIsNamed) {
  Scene scene;
  scene.cpu[7].gpr[0] = 0x2b;  // after add
  const StepComparison comparison = scene.compare();
  ASSERT_TRUE(comparison.difference);
  EXPECT_EQ(comparison.difference->pair, 7U);
  EXPECT_EQ(comparison.difference->what, "r0 is 0x2b, the interpreter has 0x2a");
  EXPECT_EQ(comparison.pairs.size(), 8U);
  EXPECT_EQ(comparison.pairs.back().differing, 1U);
}

TEST(CompareSteps, AnAddressInTheStackIsComparedByItsDistance) {
  Scene scene;
  scene.cpu[2].gpr[1] += 8;
  const StepComparison comparison = scene.compare();
  ASSERT_TRUE(comparison.difference);
  EXPECT_EQ(comparison.difference->pair, 2U);
  EXPECT_EQ(comparison.pairs.back().differing, 0b10U);
}

// What a BPF program cannot read may hold anything.
TEST(CompareSteps, RegistersWithoutAValueDoNotMatter) {
  Scene scene;
  for (std::size_t i = 0; i < scene.cpu.size(); ++i) {
    const bool in_callee = i >= 3 && i < 6;
    scene.cpu[i].gpr[7] = 0xbad;
    scene.cpu[i].gpr[6] = i == 0 || (in_callee && i > 3) ? 0xbad : scene.cpu[i].gpr[6];
    scene.cpu[i].gpr[1] = i > 5 ? 0xbad : scene.cpu[i].gpr[1];        // after the call
    scene.cpu[i].gpr[0] = i < 5 ? 0xbad : scene.cpu[i].gpr[0];        // before there is a result
    scene.cpu[i].gpr[10] = in_callee ? 0xbad : scene.cpu[i].gpr[10];  // not named there
  }
  const StepComparison comparison = scene.compare();
  EXPECT_FALSE(comparison.difference) << comparison.difference->what;
}

TEST(CompareSteps, TheOtherWayIsNamed) {
  Scene scene;
  scene.cpu[8].address = kMain + 4 * 5;  // did not jump: to the first exit, which is not a place
  scene.cpu[9].address = kMain + 4 * 7;  // and on to the epilogue
  StepComparison comparison = scene.compare();
  ASSERT_TRUE(comparison.difference);
  EXPECT_EQ(comparison.difference->pair, 8U);
  EXPECT_THAT(comparison.difference->what, HasSubstr("the CPU came to main+7 (exit)"));

  scene.cpu.resize(3);
  scene.cpu.push_back({.address = {0xc000'0000'0012'a468}});
  comparison = scene.compare();
  ASSERT_TRUE(comparison.difference);
  EXPECT_EQ(comparison.difference->pair, 3U);
  EXPECT_EQ(comparison.difference->what,
            "the CPU never came here; the last it was seen at is c00000000012a468");
  EXPECT_FALSE(comparison.pairs.back().cpu);
}

TEST(CompareSteps, InstructionsWithoutCodeAreNoPlaces) {
  Scene scene;
  scene.image.functions[0].lines[1].word = 2;  // `mov %r1, %r10` has none
  scene.cpu.erase(scene.cpu.begin() + 1);
  const StepComparison comparison = scene.compare();
  EXPECT_FALSE(comparison.difference) << comparison.difference->what;
  EXPECT_FALSE(comparison.pairs[1].cpu);
}

}  // namespace
}  // namespace farcall::check::steps_test
