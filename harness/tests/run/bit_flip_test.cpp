// Every single-bit error in an emitted call sequence is either caught or makes no difference at
// all.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "case/case_file.hpp"
#include "case/matrix.hpp"
#include "model/json.hpp"
#include "run/pipeline.hpp"
#include "run/runner.hpp"
#include "tests/run/farcall_process.hpp"

namespace farcall::run {
namespace {

constexpr const char* kCase =
    "-- asm\n"
    "mov %r1, 41\n"
    "call local callee\n"
    "exit\n"
    "callee:\n"
    "mov %r0, %r1\n"
    "add %r0, 1\n"
    "exit\n"
    "-- place\n"
    "main = text+64K\n"
    "callee = vmalloc+0x12345a468\n"
    "-- result\n"
    "42\n";

// The call sequence ends with the branch-and-link; five words load the address, one moves it.
constexpr std::size_t kSequenceWords = 7;

TEST(BitFlip, ASurvivorDecodesReachesAndReturnsTheSame) {
  const auto parsed = cases::parse_case(kCase, "flip.case");
  ASSERT_TRUE(parsed.has_value());
  const auto cells = cases::cells(parsed.value());
  ASSERT_TRUE(cells.has_value());
  model::Document good{.cell = cells.value().front()};
  good.image = prepare(good, 1).testimony.image;
  ASSERT_TRUE(good.image.has_value());
  const model::CodeCall& call = good.image->calls.front();
  const std::size_t last = (call.at.value - good.image->functions[0].address.value) / 4;

  std::vector<model::Document> flipped = {good};
  for (std::size_t word = last + 1 - kSequenceWords; word <= last; ++word) {
    for (unsigned bit = 0; bit < 32; ++bit) {
      model::Document one = good;
      one.image->functions[0].words[word] ^= 1U << bit;
      one.cell.name = fmt::format("word {} bit {}", word, bit);
      // As `run --from` would read it.
      const auto read = model::read_document(to_json(one, "image").dump(), "flip.json");
      ASSERT_TRUE(read.has_value()) << to_string(read.error());
      flipped.push_back(read.value());
    }
  }

  std::size_t survivors = 0;
  run_all(
      flipped, {.images = farcall_binary().parent_path() / "images"}, [&](const Outcome& outcome) {
        const model::Verdict& verdict = outcome.verdict;
        ASSERT_NE(verdict.outcome, model::Outcome::error) << outcome.document.cell.name;
        if (verdict.outcome != model::Outcome::pass) {
          EXPECT_FALSE(verdict.findings.empty());
          return;
        }
        ++survivors;
        ASSERT_EQ(verdict.sites.size(), 1U);
        EXPECT_EQ(verdict.result, 42U) << outcome.document.cell.name;
        EXPECT_EQ(verdict.sites[0].decoded, call.target) << outcome.document.cell.name;
        EXPECT_EQ(verdict.sites[0].reached, std::vector{call.target}) << outcome.document.cell.name;
        RecordProperty(fmt::format("survivor_{}", survivors), outcome.document.cell.name);
      });
  EXPECT_GE(survivors, 1U);                       // the unspoiled one
  EXPECT_LT(survivors, kSequenceWords * 32 / 8);  // don't-care bits are few
}

}  // namespace
}  // namespace farcall::run
