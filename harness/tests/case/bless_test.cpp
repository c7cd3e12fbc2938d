// What blessing changes in a case file, and what it leaves.
#include "case/bless.hpp"

#include <gtest/gtest.h>

#include "case/case_file.hpp"

namespace farcall::cases::bless_test {
namespace {

constexpr std::string_view kCase =
    "-- result endian=le   # a comment\r\n"
    "  007  # and another\r\n"
    "-- matrix\n"
    "endian le be\n"
    "-- asm\n"
    "call local f\n"
    "exit\n"
    "f:\n"
    "exit\n"
    "-- calls\n"
    "\tmain[0]  f *3# three\n"
    "-- result endian=be\n"
    "0x2a\n";

SeenCell seen(model::Endian endian, std::uint64_t result, std::size_t calls) {
  SeenCell cell{.axes = {.endian = endian}, .placement = {}, .result = result, .calls = {}};
  cell.calls.resize(calls, {.site = {}, .slot = 0, .callee = 1});
  return cell;
}

std::string blessed_with(const std::vector<SeenCell>& cells) {
  const auto parsed = parse_case(kCase, "folder/test.case");
  EXPECT_TRUE(parsed) << to_string(parsed.error());
  return blessed(kCase, parsed.value(), cells);
}

TEST(Bless, ReplacesNumbersWhereTheyStand) {
  const std::string text =
      blessed_with({seen(model::Endian::little, 8, 1), seen(model::Endian::big, 0x2a, 1)});
  EXPECT_EQ(text.substr(0, 61),
            "-- result endian=le   # a comment\r\n  0x8  # and another\r\n-- m");
  EXPECT_NE(text.find("\tmain[0] f# three\n"), std::string::npos) << text;
  EXPECT_NE(text.find("-- result endian=be\n0x2a\n"), std::string::npos) << text;
  EXPECT_EQ(line_diff("a.case", kCase, text),
            "--- a.case\n+++ a.case, blessed\n"
            "@@ -2 +2 @@\n-  007  # and another\n+  0x8  # and another\n"
            "@@ -11 +11 @@\n-\tmain[0]  f *3# three\n+\tmain[0] f# three\n");
}

TEST(Bless, LeavesWhatIsRight) {
  const std::string text =
      blessed_with({seen(model::Endian::little, 7, 3), seen(model::Endian::big, 42, 3)});
  EXPECT_EQ(text, kCase);
  EXPECT_EQ(line_diff("a.case", kCase, text), "");
}

// A section that is for cells of different results says what it said.
TEST(Bless, LeavesWhatCellsDoNotAgreeOn) {
  const std::string text =
      blessed_with({seen(model::Endian::little, 7, 2), seen(model::Endian::big, 42, 5)});
  EXPECT_EQ(text, kCase);
}

}  // namespace
}  // namespace farcall::cases::bless_test
