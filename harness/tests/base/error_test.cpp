#include "base/error.hpp"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace farcall::error_test {
namespace {

const std::vector<ErrorCode>& all_codes() {
  static const std::vector<ErrorCode> codes = {
#define FARCALL_ERROR_CODE_VALUE(name, text, blame) ErrorCode::name,
      FARCALL_ERROR_CODES(FARCALL_ERROR_CODE_VALUE)
#undef FARCALL_ERROR_CODE_VALUE
  };
  return codes;
}

TEST(Error, CodesHaveDistinctNamesOfOneShape) {
  std::set<std::string_view> names;
  for (const ErrorCode code : all_codes()) {
    const std::string_view text = name(code);
    EXPECT_TRUE(names.insert(text).second) << text;
    EXPECT_EQ(text.find_first_not_of("abcdefghijklmnopqrstuvwxyz-."), std::string_view::npos)
        << text;
    EXPECT_NE(text.find('.'), std::string_view::npos) << text;
    EXPECT_EQ(error_code_named(text), code);
  }
}

TEST(Error, NamesOfSomeCodes) {
  EXPECT_EQ(name(ErrorCode::usage_bad_argument), "usage.bad-argument");
  EXPECT_EQ(name(ErrorCode::call_out_of_range), "call.out-of-range");
  EXPECT_EQ(error_code_named("bpf.empty"), ErrorCode::bpf_empty);
  EXPECT_EQ(error_code_named("bpf.emptyish"), std::nullopt);
  EXPECT_EQ(error_code_named(""), std::nullopt);
}

TEST(Error, WhoIsToBlameForSomeCodes) {
  EXPECT_EQ(blame(ErrorCode::file_unreadable), Blame::input);
  EXPECT_EQ(blame(ErrorCode::machine_job_too_large), Blame::input);
  EXPECT_EQ(blame(ErrorCode::case_contradicts_interpreter), Blame::test);
  EXPECT_EQ(blame(ErrorCode::interpreter_bad_access), Blame::test);
  EXPECT_EQ(blame(ErrorCode::call_decoded_elsewhere), Blame::code);
  EXPECT_EQ(blame(ErrorCode::machine_lost), Blame::machine);
  EXPECT_EQ(blame(ErrorCode::jit_internal), Blame::harness);
}

TEST(Error, TextHasWhatIsKnown) {
  const Error bare{.code = ErrorCode::bpf_empty, .message = "nothing there"};
  EXPECT_EQ(to_string(bare), "error: nothing there [bpf.empty]");
  const Error full{.code = ErrorCode::call_out_of_range,
                   .message = "too far",
                   .where = {.file = "a.case", .line = 3, .column = 7},
                   .site = "main[0]",
                   .hint = "use aux64"};
  EXPECT_EQ(to_string(full),
            "a.case:3:7: error: main[0]: too far [call.out-of-range]\n  use aux64");
}

TEST(Error, TextIsShortWhateverItIsAbout) {
  const std::string head(1000, 'a');
  const std::string tail(100, 'z');
  std::string long_message = head;
  for (int i = 0; i < 100'000; ++i) {
    long_message += "é";
  }
  const std::string text =
      to_string(Error{.code = ErrorCode::bpf_empty, .message = long_message + tail});
  EXPECT_LT(text.size(), 2200U);
  EXPECT_EQ(text.find(head), std::string("error: ").size());
  EXPECT_NE(text.find(tail + " [bpf.empty]"), std::string::npos);
  // No character is cut in two.
  EXPECT_NE(text.find("é … é"), std::string::npos) << text;
  const std::string whole(2000, 'x');
  EXPECT_EQ(to_string(Error{.code = ErrorCode::bpf_empty, .message = whole}),
            "error: " + whole + " [bpf.empty]");
}

TEST(Error, PlacesHaveWhatIsKnown) {
  EXPECT_EQ(to_string(SourceLocation{.file = "f", .line = 3, .column = 7}), "f:3:7");
  EXPECT_EQ(to_string(SourceLocation{.file = "f", .line = 3}), "f:3");
  EXPECT_EQ(to_string(SourceLocation{.file = "f"}), "f");
}

Result<int> half(int value) {
  if (value % 2 != 0) {
    return Error{.code = ErrorCode::usage_bad_argument, .message = "odd"};
  }
  return value / 2;
}

Result<int> quarter(int value) {
  FARCALL_TRY(once, half(value));
  return half(once);
}

TEST(Error, ResultsPropagate) {
  EXPECT_EQ(quarter(8).value(), 2);
  EXPECT_EQ(quarter(6).error().message, "odd");
  EXPECT_FALSE(quarter(3));
}

Result<void> even(int value) {
  const Result<int> halved = half(value);
  FARCALL_TRYV(halved);
  return success();
}

TEST(Error, ResultsWithoutAValuePropagate) {
  EXPECT_TRUE(even(8));
  EXPECT_EQ(even(7).error().message, "odd");
  EXPECT_TRUE(even(7).has_error());
}

TEST(Error, CopiesOfAResultAreTheirOwn) {
  Result<int> first = half(3);
  const Result<int> second = first;
  first.error().message = "changed";
  EXPECT_EQ(second.error().message, "odd");
  first = half(8);
  EXPECT_EQ(first.value(), 4);
  EXPECT_FALSE(second);
}

TEST(ErrorDeathTest, WhatIsNotThereEndsTheProgram) {
  EXPECT_DEATH((void)half(3).value(), "");
  EXPECT_DEATH((void)half(2).error(), "");
  EXPECT_DEATH((void)even(2).error(), "");
}

}  // namespace
}  // namespace farcall::error_test
