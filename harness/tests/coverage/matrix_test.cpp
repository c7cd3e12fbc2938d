// What the matrix of faults and witnesses makes of its rows.
#include "coverage/matrix.hpp"

#include <gmock/gmock.h>

namespace farcall::coverage::matrix_test {
namespace {

FaultRow row(Witness witness) {
  FaultRow row{.fault = &faults::all_faults().front(), .cells = 2, .caught = 1};
  row.seen[static_cast<std::size_t>(witness)] = 1;
  return row;
}

TEST(Matrix, AFaultThatNothingCatchesIsNotGood) {
  FaultMatrix matrix{.is_ours = true, .rows = {row(Witness::value)}};
  EXPECT_TRUE(matrix.good());
  matrix.rows.push_back({.fault = &faults::all_faults().back(), .cells = 3});
  EXPECT_FALSE(matrix.good());
  EXPECT_THAT(matrix_text(matrix), testing::HasSubstr("put into 3 cells, and nothing catches it"));
  matrix.rows.back().cells = 0;
  EXPECT_FALSE(matrix.good());
  EXPECT_THAT(matrix_text(matrix), testing::HasSubstr("no cell shows it"));
}

TEST(Matrix, AWitnessThatIsNeverAloneIsNotGood) {
  FaultMatrix matrix{.is_whole = true};
  for (const Witness witness : kMustBeAlone) {
    EXPECT_FALSE(matrix.good());
    EXPECT_THAT(matrix.idle(), testing::Contains(witness));
    matrix.rows.push_back(row(witness));
  }
  EXPECT_TRUE(matrix.good());
  // Another one beside it: it is not alone any more.
  matrix.rows.back().seen[static_cast<std::size_t>(Witness::ending)] = 1;
  EXPECT_THAT(matrix.idle(), testing::ElementsAre(kMustBeAlone.back()));
}

// Of a foreign JIT, the number is of those that could be put in; what could not is named.
TEST(Matrix, AFaultWithoutAPlaceInAnotherJitIsListedAndNoFailure) {
  const auto& all = faults::all_faults();
  FaultMatrix matrix{.jit = "kernel:6.12",
                     .cells = {.all = 9, .refused = 3, .failing = 2},
                     .rows = {row(Witness::value)}};
  matrix.rows.push_back({.fault = &all[1]});
  matrix.rows.push_back({.fault = &all[2], .not_applicable = "in another place"});
  EXPECT_TRUE(matrix.good());
  EXPECT_EQ(summary(matrix),
            "kernel:6.12: 1 of 1 faults caught; 1 have no place, 1 are not applicable\n");
  const std::string text = matrix_text(matrix);
  EXPECT_THAT(text, testing::HasSubstr("4 of 9 cells take part; it makes no code of 3, and 2 do"));
  EXPECT_THAT(text,
              testing::HasSubstr("no place for it in the code of these cells): " + all[1].name));
  EXPECT_THAT(text, testing::HasSubstr("(in another place): " + all[2].name));
  matrix.rows[1].cells = 4;  // it has a place, and nothing catches it
  EXPECT_FALSE(matrix.good());
  EXPECT_THAT(summary(matrix), testing::HasSubstr("1 of 2 faults caught"));
  EXPECT_THAT(matrix_text(matrix), testing::HasSubstr("put into 4 cells, and nothing catches it"));
}

}  // namespace
}  // namespace farcall::coverage::matrix_test
