#include "case/text.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace farcall::cases::text_test {
namespace {

Word word(std::string_view text) {
  return {.text = text, .where = {.line = 3, .column = 7}};
}

TEST(CaseText, NumbersAreDecimalOrHex) {
  EXPECT_EQ(unsigned_number(word("0")).value(), 0U);
  EXPECT_EQ(unsigned_number(word("0042")).value(), 42U);
  EXPECT_EQ(unsigned_number(word("0xfF")).value(), 255U);
  EXPECT_EQ(unsigned_number(word("18446744073709551615")).value(),
            std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ(unsigned_number(word("0xffffffffffffffff")).value(),
            std::numeric_limits<std::uint64_t>::max());
}

TEST(CaseText, NegativeNumbersAreTwosComplement) {
  EXPECT_EQ(number(word("-1")).value(), 0xffffffffffffffffU);
  EXPECT_EQ(number(word("-0x10")).value(), 0xfffffffffffffff0U);
  EXPECT_EQ(number(word("-9223372036854775808")).value(), 0x8000000000000000U);
  EXPECT_EQ(number(word("18446744073709551615")).value(), 0xffffffffffffffffU);
}

TEST(CaseText, WhatIsNoNumberIsRefusedWhereItStands) {
  for (const auto* text : {"", "0x", "x", "1x", "0x1g", "--1", "+1", "-", "1.0", "1 ", "0b1",
                           "18446744073709551616", "0x10000000000000000", "-9223372036854775809"}) {
    const auto value = number(word(text));
    ASSERT_FALSE(value) << text;
    EXPECT_EQ(value.error().code, ErrorCode::case_bad_number) << text;
    EXPECT_EQ(value.error().where.line, 3U) << text;
    EXPECT_EQ(value.error().where.column, 7U) << text;
  }
  EXPECT_FALSE(unsigned_number(word("-1")));
}

TEST(CaseText, LinesLoseCommentsAndKeepTheirNumbers) {
  LineReader lines{"\n  # all comment\na b  # rest\n \t\n\n\tlast", 10};
  const auto first = lines.next();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->text, "a b");
  EXPECT_EQ(first->number, 12U);
  const auto second = lines.next();
  ASSERT_TRUE(second);
  EXPECT_EQ(second->text, "\tlast");
  EXPECT_EQ(second->number, 15U);
  EXPECT_FALSE(lines.next());
}

TEST(CaseText, CursorCountsColumnsInBytes) {
  Cursor cursor{{.text = "\tab_.1$ = c-d", .number = 4}};
  const Word name = cursor.name();
  EXPECT_EQ(name.text, "ab_.1$");
  EXPECT_EQ(name.where, (Position{.line = 4, .column = 2}));
  EXPECT_FALSE(cursor.take('-'));
  EXPECT_TRUE(cursor.take('='));
  EXPECT_EQ(cursor.here(), (Position{.line = 4, .column = 11}));
  EXPECT_EQ(cursor.word().text, "c-d");
  EXPECT_TRUE(cursor.at_end());
  EXPECT_TRUE(cursor.word().text.empty());
}

TEST(CaseText, PlainNamesHaveNothingThatAShellSees) {
  for (const auto* text : {"a", "far-2g", "2p", "_x", "a.b", "A-Z_0.9"}) {
    EXPECT_TRUE(is_plain_name(text)) << text;
  }
  for (const auto* text : {"", "-a", ".a", "a b", "a*", "a@b", "a$", "a/b", "\xc3\xa4"}) {
    EXPECT_FALSE(is_plain_name(text)) << text;
  }
}

}  // namespace
}  // namespace farcall::cases::text_test
