#include "base/utf8.hpp"

#include <gtest/gtest.h>

namespace farcall {
namespace {

TEST(Utf8, KeepsCharactersAndReplacesOtherBytes) {
  EXPECT_EQ(valid_utf8("é→😀"), "é→😀");
  EXPECT_EQ(valid_utf8("\xe9t\xe9"), "\xef\xbf\xbdt\xef\xbf\xbd");            // Latin-1
  EXPECT_EQ(valid_utf8("a\xe2\x86"), "a\xef\xbf\xbd\xef\xbf\xbd");            // cut in a character
  EXPECT_EQ(valid_utf8("\xed\xa0\x80").find("\xed\xa0"), std::string::npos);  // a surrogate
  EXPECT_EQ(valid_utf8("").size(), 0U);
}

}  // namespace
}  // namespace farcall
