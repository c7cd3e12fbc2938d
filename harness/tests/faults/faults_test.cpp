// The table of faults, and what their transforms leave as it was.
#include <gmock/gmock.h>

#include <algorithm>
#include <set>
#include <string>

#include "faults/fault.hpp"
#include "faults/matrix.hpp"

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

// Without a fault the answer is taken: it is the fault that is refused.
TEST(Faults, ABatchThatIsAnsweredWellIsTaken) {
  EXPECT_FALSE(refused_answer({[](auto, const auto&, auto) {}}).has_value());
}

FaultRow row(Witness witness) {
  FaultRow row{.fault = &all_faults().front(), .cells = 2, .caught = 1};
  row.seen[static_cast<std::size_t>(witness)] = 1;
  return row;
}

TEST(Matrix, AFaultThatNothingCatchesIsNotGood) {
  FaultMatrix matrix{.rows = {row(Witness::value)}};
  EXPECT_TRUE(matrix.good());
  matrix.rows.push_back({.fault = &all_faults().back(), .cells = 3});
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
}  // namespace farcall::faults::faults_test
