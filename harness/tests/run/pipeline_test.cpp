// What becomes of a document on the host.
#include "run/pipeline.hpp"

#include <gtest/gtest.h>

#include "case/case_file.hpp"
#include "case/matrix.hpp"

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

}  // namespace
}  // namespace farcall::run::pipeline_test
