#include "base/excerpt.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace farcall::excerpt_test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

TEST(Excerpt, OfAShortMessageIsTheMessage) {
  EXPECT_EQ(excerpt("expected 7, not 'é'"), "expected 7, not 'é'");
}

TEST(Excerpt, WritesBytesThatAreNotTextByTheirNumber) {
  EXPECT_EQ(excerpt("\x1b[2J\xff"), "\\x1b[2J\\xff");
}

// The cuts lie within characters of two bytes, wherever they begin.
TEST(Excerpt, CutsNoCharacterInTwo) {
  for (const std::string before : {"", "a"}) {
    std::string message = before;
    for (int i = 0; i < 3000; ++i) {
      message += "é";
    }
    EXPECT_THAT(excerpt(message),
                AllOf(StartsWith(before + "éé"), HasSubstr("é … é"), Not(HasSubstr("\\x"))));
  }
}

TEST(Excerpt, ShowsTheBeginningOfBytesThatOnlyGoOn) {
  EXPECT_THAT(excerpt("found '" + std::string(3000, '\x80') + "'"),
              AllOf(StartsWith("found '\\x80\\x80"), testing::EndsWith("\\x80'")));
}

}  // namespace
}  // namespace farcall::excerpt_test
