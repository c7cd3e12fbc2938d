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
  FaultMatrix matrix{.rows = {row(Witness::value)}};
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

}  // namespace
}  // namespace farcall::coverage::matrix_test
