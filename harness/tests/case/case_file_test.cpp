// What is wrong with a case file as a whole; what may be wrong within one is cases/reject.
#include <gtest/gtest.h>

#include "support.hpp"

namespace farcall::cases::case_file_test {
namespace {

TEST(CaseFile, WhatIsNoTextIsRefused) {
  struct Bad {
    std::string text;
    Position where;
  };
  using namespace std::string_literals;
  for (const Bad& bad :
       {Bad{"-- asm\nex\0it\n"s, {2, 3}}, Bad{"-- asm\nex\x1b[0mit\n", {2, 3}},
        Bad{"-- asm # \x7f\nexit\n", {1, 10}}, Bad{"-- asm\nexit\rexit\n", {2, 5}}}) {
    const auto made = load(bad.text);
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().code, ErrorCode::case_syntax);
    EXPECT_EQ(made.error().where,
              (SourceLocation{"folder/test.case", bad.where.line, bad.where.column}));
  }
  EXPECT_TRUE(load("-- asm\r\n\tmov %r0, 1\r\nexit\r\n-- result\r\n1\r\n"));
}

TEST(CaseFile, EmptyFilesAreRefused) {
  const auto made = load("");
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, ErrorCode::file_empty);
  EXPECT_EQ(made.error().where.file, "folder/test.case");
}

TEST(CaseFile, LargeFilesAreRefused) {
  std::string text = two_functions("-- result\n1\n");
  text.resize(kMaxCaseBytes, '\n');
  EXPECT_TRUE(load(text));
  text += '\n';
  const auto made = load(text);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, ErrorCode::file_too_large);
}

TEST(CaseFile, NamesThatAShellWouldTouchAreRefused) {
  const std::string text = two_functions("-- result\n1\n");
  for (const auto* path : {"a b.case", "a*.case", "a@b.case", "-a.case", "x/.case", ""}) {
    const auto parsed = parse_case(text, path);
    ASSERT_FALSE(parsed) << path;
    EXPECT_EQ(parsed.error().code, ErrorCode::case_syntax);
    EXPECT_EQ(parsed.error().where.file, path);
  }
}

TEST(CaseFile, UnreadableFilesAreErrors) {
  for (const auto* path : {"/nonexistent/a.case", "/"}) {
    const auto parsed = read_case(path);
    ASSERT_FALSE(parsed) << path;
    EXPECT_EQ(parsed.error().code, ErrorCode::file_unreadable);
    EXPECT_EQ(parsed.error().where.file, path);
  }
}

}  // namespace
}  // namespace farcall::cases::case_file_test
