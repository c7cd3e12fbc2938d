// What becomes of a document on the host.
#include "run/pipeline.hpp"

#include <gtest/gtest.h>

#include <stdexcept>

#include "case/case_file.hpp"
#include "case/matrix.hpp"
#include "run/guarded.hpp"

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
  document.image = prepare(document, 1).testimony.image;
  ASSERT_TRUE(document.image);
  document.image->functions.pop_back();
  const Prepared prepared = prepare(document, 1);
  EXPECT_FALSE(prepared.job);
  ASSERT_TRUE(prepared.testimony.refusal);
  EXPECT_EQ(prepared.testimony.refusal->message,
            "the image has 1 functions: expected one for each of the program's and each of its "
            "externals, 2");
  EXPECT_EQ(check::check(document.cell, prepared.testimony).outcome, model::Outcome::error);
}

// As the encoder throws on an operand out of range.
TEST(Pipeline, ADefectOfLinkerOrJitIsTheErrorOfOneCellAndFarcallsOwn) {
  const Result<int> made =
      guarded([]() -> Result<int> { throw std::logic_error("operand UI of ori is 65536"); });
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
