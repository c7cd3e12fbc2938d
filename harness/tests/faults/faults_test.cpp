// The table of faults, and what their transforms leave as it was.
#include <gmock/gmock.h>

#include <algorithm>
#include <set>
#include <string>

#include "faults/fault.hpp"

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

}  // namespace
}  // namespace farcall::faults::faults_test
