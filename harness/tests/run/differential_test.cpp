// Random programs at random far places: what the guest's CPU makes of the compiled code must be
// what the interpreter makes of the program.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>

#include "base/bits.hpp"
#include "bpf/disassembler.hpp"
#include "bpf/validator.hpp"
#include "run/pipeline.hpp"
#include "run/runner.hpp"
#include "tests/run/farcall_process.hpp"
#include "tests/run/random_program.hpp"

namespace farcall::run::differential_test {
namespace {

constexpr std::size_t kPrograms = 1500;

// Somewhere in vmalloc, io or vmemmap, in a slot of 1 MiB of its own.
GuestAddress random_place(std::mt19937_64& random, std::uint64_t number) {
  constexpr std::uint64_t kFirst = 0xc008'0000'0000'0000;
  constexpr std::uint64_t kLast = 0xc00f'ffff'0000'0000;
  const std::uint64_t base = kFirst + (random() % (kLast - kFirst));
  return {align_down(base, 1 << 24) + (number << 20) + (random() % 4096 * 4)};
}

model::Document random_document(std::mt19937_64& random, std::size_t number) {
  auto program = std::make_shared<const bpf::Program>(random_program(random));
  EXPECT_TRUE(bpf::validate(*program).has_value()) << bpf::disassemble(*program);
  model::Cell cell{.case_path = "random",
                   .name = fmt::format("random-{}", number),
                   .program = program,
                   .placement = {.stack = {0xc000'0000'0200'0000}, .toc = {0xc000'0000'0180'0000}}};
  for (std::size_t i = 0; i < program->functions.size(); ++i) {
    cell.placement.functions.push_back(random_place(random, i));
  }
  std::vector<std::byte> bytes(kScratchBytes);
  std::ranges::generate(bytes, [&random] { return static_cast<std::byte>(random() & 0xff); });
  const GuestAddress memory = {0xc000'0000'0100'0000};
  cell.memory = {{.name = "mem", .address = memory, .bytes = std::move(bytes)}};
  cell.arguments = {memory.value, random(), random(), random(), random()};
  return {.cell = std::move(cell)};
}

TEST(Differential, InterpreterAndCpuAgreeOnRandomPrograms) {
  std::mt19937_64 random(20261122);  // NOLINT(cert-msc51-cpp): the same programs every time
  std::vector<model::Document> documents;
  for (std::size_t i = 0; i < kPrograms; ++i) {
    documents.push_back(random_document(random, i));
    expect_calls_as_interpreted(documents.back().cell);
  }
  std::size_t passed = 0;
  std::size_t calls = 0;
  run_all(documents, {.images = farcall_binary().parent_path() / "images"},
          [&](const Outcome& outcome) {
            const bool pass = outcome.verdict.outcome == model::Outcome::pass;
            passed += pass ? 1U : 0U;
            for (const model::SiteStory& site : outcome.verdict.sites) {
              calls += site.interpreted.value_or(0);
            }
            if (!pass && !outcome.verdict.findings.empty()) {
              ADD_FAILURE() << outcome.document.cell.name << ": "
                            << outcome.verdict.findings.front().text << "\n"
                            << bpf::disassemble(*outcome.document.cell.program);
            }
          });
  EXPECT_EQ(passed, kPrograms);
  EXPECT_GT(calls, kPrograms / 10);
}

}  // namespace
}  // namespace farcall::run::differential_test
