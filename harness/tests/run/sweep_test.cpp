// Interpreter against CPU, systematically: each instruction with each class of operands, at
// registers (dst = src too) and immediates that cover each other pairwise. And the CPU against what
// RFC 9669 says, worked out by hand, since interpreter and JIT could misread it alike.
//
// Every kind of CPU runs them: an instruction that one lacks would be an illegal instruction there.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <limits>
#include <memory>
#include <random>
#include <set>

#include "base/byte_order.hpp"
#include "bpf/assembler.hpp"
#include "bpf/validator.hpp"
#include "run/runner.hpp"
#include "tests/bpf/rfc_vectors.hpp"
#include "tests/farcall_process.hpp"
#include "tests/run/sweep_program.hpp"

namespace farcall::run::sweep_test {
namespace {

using namespace tests;

constexpr std::size_t kChecksWanted = 200'000;
constexpr GuestAddress kMemory = {0xc000'0000'0100'0000};

// 0, 1, −1, the ends of 64 and 32 bits, shift counts about the width, and random ones.
SweepPlan full_plan() {
  SweepPlan plan;
  plan.operands = {0,
                   1,
                   ~std::uint64_t{0},
                   std::uint64_t{1} << 63,
                   ~std::uint64_t{0} >> 1,
                   0x7fffffff,
                   0x80000000,
                   0xffffffff,
                   0x100000000,
                   0xffffffff80000000,
                   31,
                   32,
                   63,
                   64};
  constexpr std::int32_t kLeast = std::numeric_limits<std::int32_t>::min();
  plan.immediates = {0,  1,  -1, 2,      -2,      31,      32,     33,     63,
                     64, 65, 7,  0x7fff, -0x8000, -0x8001, 0xffff, kLeast, ~kLeast};
  std::mt19937_64 random(9669);  // NOLINT(cert-msc51-cpp): the same operands every time
  std::generate_n(std::back_inserter(plan.operands), 2, std::ref(random));
  for (int i = 0; i < 4; ++i) {
    plan.immediates.push_back(static_cast<std::int32_t>(random()));
  }
  return plan;
}

// Enough to have every instruction at work.
SweepPlan small_plan() {
  SweepPlan plan = full_plan();
  plan.operands = {0, ~std::uint64_t{0}, std::uint64_t{1} << 63, 0x80000000, plan.operands.back()};
  return plan;
}

model::Document document(std::string name, const model::AxisValues& axes, bpf::Program program,
                         std::vector<std::byte> memory) {
  const std::uint64_t length = memory.size();
  model::Cell cell{.case_path = "sweep",
                   .name = std::move(name),
                   .axes = axes,
                   .program = std::make_shared<const bpf::Program>(std::move(program)),
                   .placement = {.functions = {{0xc008'0000'0001'0000}},
                                 .stack = {0xc000'0000'0200'0000},
                                 .toc = {0xc000'0000'0180'0000}}};
  cell.memory = {{.name = "mem", .address = kMemory, .bytes = std::move(memory)}};
  cell.arguments = {kMemory.value, length};
  return {.cell = std::move(cell)};
}

model::AxisValues axes_of(model::Endian endian, model::Cpu cpu) {
  model::AxisValues axes{.endian = endian, .cpu = cpu};
  axes.mmu = cpu == model::Cpu::power8 ? model::Mmu::hash : model::Mmu::radix;
  return axes;
}

constexpr std::array kEndians = {model::Endian::little, model::Endian::big};
constexpr std::array kCpus = {model::Cpu::power8, model::Cpu::power9, model::Cpu::power10};

std::string text_of(const model::Verdict& verdict) {
  std::string text;
  for (const model::Finding& finding : verdict.findings) {
    text += "  " + finding.text + "\n";
  }
  return text;
}

// All rows on the machine that `axes` describes; what was checked goes to `checks`.
void sweep(const model::AxisValues& axes, const SweepPlan& plan, std::set<SweepCheck>& checks) {
  std::vector<std::size_t> rows;
  for (std::size_t row = 0; row < bpf::kInstructions.size(); ++row) {
    if (can_sweep(bpf::kInstructions[row])) {
      rows.push_back(row);
    }
  }
  std::size_t programs = 0;
  const Documents documents(
      rows.size(), [&](std::size_t) { return axes; },
      [&](std::size_t index) {
        SweepProgram made = sweep_program(rows[index], plan, byte_order(axes.endian));
        return std::make_shared<const model::Document>(
            document(std::string(bpf::kInstructions[rows[index]].mnemonic), axes,
                     std::move(made.program), std::move(made.memory)));
      });
  run_all(
      documents, {.images = farcall_binary().parent_path() / "images"},
      [&](const FinishedCell& finished) {
        const SweepProgram made = sweep_program(rows[programs++], plan, byte_order(axes.endian));
        EXPECT_TRUE(bpf::validate(made.program).has_value()) << made.blocks;
        EXPECT_EQ(finished.verdict.outcome, model::Outcome::pass)
            << finished.document->cell.name << " on " << model::value_name(axes, model::Axis::cpu)
            << ' ' << model::value_name(axes, model::Axis::endian) << ":\n"
            << text_of(finished.verdict) << made.blocks;
        checks.insert(made.checks.begin(), made.checks.end());
      });
  EXPECT_EQ(programs, rows.size());
}

TEST(Sweep, InterpreterAndCpuAgreeLittleEndian) {
  std::set<SweepCheck> checks;
  sweep(axes_of(model::Endian::little, model::Cpu::power9), full_plan(), checks);
  EXPECT_GE(checks.size(), kChecksWanted);
  RecordProperty("checks", std::to_string(checks.size()));
}

TEST(Sweep, InterpreterAndCpuAgreeBigEndian) {
  std::set<SweepCheck> checks;
  sweep(axes_of(model::Endian::big, model::Cpu::power9), full_plan(), checks);
  EXPECT_GE(checks.size(), kChecksWanted);
  RecordProperty("checks", std::to_string(checks.size()));
}

TEST(Sweep, EveryInstructionRunsOnEveryCpu) {
  for (const model::Endian endian : kEndians) {
    for (const model::Cpu cpu : {model::Cpu::power8, model::Cpu::power10}) {
      std::set<SweepCheck> checks;
      sweep(axes_of(endian, cpu), small_plan(), checks);
    }
  }
}

// The hand-made vectors in one program, results one after the other in memory.
struct Vectors {
  std::string text = "mov %r9, %r1\n";
  std::vector<std::uint64_t> expected;

  void result(const char* reg, std::uint64_t value) {
    text += fmt::format("stxdw [%r9+{}], {}\n", 64 + 8 * expected.size(), reg);
    expected.push_back(value);
  }
};

Vectors rfc_program() {
  Vectors program;
  for (const bpf::RfcVector& v : bpf::kRfcVectors) {
    program.text += fmt::format("lddw %r1, {:#x}\nlddw %r2, {:#x}\n{}\n", v.a, v.b, v.instruction);
    program.result("%r1", v.expected);
  }
  for (const bpf::RfcAtomicVector& v : bpf::kRfcAtomicVectors) {
    const bool wide = v.instruction.find("32 ") == std::string_view::npos;
    const char* const size = wide ? "dw" : "w";
    program.text += fmt::format(
        "mov %r1, %r9\nlddw %r3, {:#x}\nstx{} [%r1], %r3\nlddw %r0, {:#x}\nlddw %r2, {:#x}\n{}\n"
        "ldx{} %r3, [%r1]\n",
        v.memory, size, v.a, v.b, v.instruction, size);
    program.result("%r0", v.r0_after);
    program.result("%r2", v.r2_after);
    program.result("%r3", v.memory_after);
  }
  program.text += "stdw [%r9], 0\nmov %r0, 1\nexit\n";
  return program;
}

TEST(Sweep, EveryCpuDoesWhatTheRfcSays) {
  const Vectors vectors = rfc_program();
  const bpf::Program program = bpf::assemble(vectors.text, {.file = "rfc"}).value();
  std::vector<model::Document> documents;
  for (const model::Endian endian : kEndians) {
    std::vector<std::byte> expected(8 * vectors.expected.size());
    for (std::size_t i = 0; i < vectors.expected.size(); ++i) {
      store(&expected[8 * i], vectors.expected[i], model::byte_order(endian));
    }
    for (const model::Cpu cpu : kCpus) {
      documents.push_back(document("rfc", axes_of(endian, cpu), program,
                                   std::vector<std::byte>(64 + expected.size())));
      documents.back().cell.expected = {
          .result = 1, .memory = {{.region = "mem", .offset = 64, .bytes = expected}}};
    }
  }
  std::size_t passed = 0;
  run_all(std::move(documents), {.images = farcall_binary().parent_path() / "images"},
          [&](const FinishedCell& finished) {
            passed += finished.verdict.outcome == model::Outcome::pass ? 1U : 0U;
            EXPECT_EQ(finished.verdict.outcome, model::Outcome::pass) << text_of(finished.verdict);
          });
  EXPECT_EQ(passed, 6);
}

}  // namespace
}  // namespace farcall::run::sweep_test
