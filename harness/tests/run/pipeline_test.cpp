// What becomes of a document on the host.
#include "run/pipeline.hpp"

#include <gtest/gtest.h>

#include <stdexcept>

#include "case/case_file.hpp"
#include "case/matrix.hpp"
#include "engine/guarded.hpp"

namespace farcall::run::pipeline_test {
namespace {

// Callees have numbers that are looked up in the image, which may come from anywhere.
TEST(Pipeline, AnImageWithoutCodeForACalleeIsAnError) {
  const auto parsed = cases::parse_case(
      "-- extension callx-address\n-- asm\nlddw %r1, local f\ncallx %r1\nexit\nf:\nmov %r0, 1\n"
      "exit\n-- result\n1\n",
      "few.case");
  ASSERT_TRUE(parsed) << to_string(parsed.error());
  model::Document document{.cell = cases::cells(parsed.value()).value().front()};
  document.image = prepare(document, 1).image;
  ASSERT_TRUE(document.image);
  document.image->functions.pop_back();
  const check::Testimony prepared = prepare(document, 1);
  EXPECT_FALSE(prepared.job);
  ASSERT_TRUE(prepared.refusal);
  EXPECT_EQ(prepared.refusal->message,
            "the image has 1 functions: expected one for each of the program's and each of its "
            "externals, 2");
  EXPECT_EQ(check::check(document.cell, prepared).outcome, model::Outcome::error);
}

// A call of 2 PiB that an image makes of 64 KiB proves nothing.
TEST(Pipeline, AnImageLiesWhereTheCellSaysUnlessItMayChoose) {
  const auto parsed = cases::parse_case(
      "-- asm\ncall local f\nexit\nf:\nmov %r0, 1\nexit\n-- place\nmain = text+64K\n"
      "f = vmalloc\n-- result\n1\n",
      "far.case");
  ASSERT_TRUE(parsed) << to_string(parsed.error());
  const model::Cell far = cases::cells(parsed.value()).value().front();
  model::Cell near = far;
  near.placement.functions[1] = near.placement.functions[0] + 0x10000;
  model::Document document{.cell = far, .image = prepare({.cell = near}, 1).image};
  ASSERT_TRUE(document.image);
  const auto verdict = [&document] { return check::check(document.cell, prepare(document, 1)); };
  ASSERT_FALSE(verdict().findings.empty());
  EXPECT_EQ(verdict().outcome, model::Outcome::fail);
  EXPECT_EQ(verdict().findings.front().code, ErrorCode::place_elsewhere);
  document.image->placed_by = model::PlacedBy::image;
  EXPECT_TRUE(verdict().findings.empty());
}

// Every door asks the same rules: this one is the library's.
TEST(Pipeline, AnImageThatBreaksARuleIsAnErrorOfItsCell) {
  const auto parsed = cases::parse_case(
      "-- asm\ncall local f\nexit\nf:\nmov %r0, 1\nexit\n-- result\n1\n", "near.case");
  ASSERT_TRUE(parsed) << to_string(parsed.error());
  const model::Cell cell = cases::cells(parsed.value()).value().front();
  const model::Document good{.cell = cell, .image = prepare({.cell = cell}, 1).image};
  ASSERT_TRUE(good.image);
  const auto code_of = [&good](const auto& spoil) {
    model::Document document = good;
    spoil(*document.image);
    const check::Testimony prepared = prepare(document, 1);
    EXPECT_FALSE(prepared.job);
    const model::Verdict verdict = check::check(document.cell, prepared);
    EXPECT_EQ(verdict.outcome, model::Outcome::error);
    return verdict.findings.empty() ? ErrorCode::usage_bad_argument : verdict.findings[0].code;
  };
  using Image = model::CodeImage;
  EXPECT_EQ(code_of([](Image& image) { image.calls.push_back(image.calls[0]); }),
            ErrorCode::document_invalid);
  EXPECT_EQ(code_of([](Image& image) { image.functions.pop_back(); }), ErrorCode::document_invalid);
  EXPECT_EQ(code_of([](Image& image) { image.functions[1].words.clear(); }),
            ErrorCode::document_invalid);
  EXPECT_EQ(code_of([](Image& image) { image.functions[1].address.value += 2; }),
            ErrorCode::place_misaligned);
  EXPECT_EQ(code_of([](Image& image) { image.functions[1].address = image.functions[0].address; }),
            ErrorCode::place_overlap);
  EXPECT_EQ(code_of([](Image& image) { image.functions[1].address = {0x10'0000'0000'0000}; }),
            ErrorCode::place_unmappable);
}

// As the encoder throws on an operand out of range.
TEST(Pipeline, ADefectOfLinkerOrJitIsTheErrorOfOneCellAndFarcallsOwn) {
  const Result<int> made = engine::guarded(
      []() -> Result<int> { throw std::logic_error("operand UI of ori is 65536"); });
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, ErrorCode::jit_internal);
  check::Testimony testimony;
  testimony.refusal = made.error();
  const model::Verdict verdict = check::check({}, testimony);
  EXPECT_EQ(verdict.outcome, model::Outcome::error);
  EXPECT_TRUE(is_harness_failure(verdict));
  EXPECT_EQ(verdict.findings.front().text,
            "farcall's linker or JIT has a defect: operand UI of ori is 65536");
}

}  // namespace
}  // namespace farcall::run::pipeline_test
