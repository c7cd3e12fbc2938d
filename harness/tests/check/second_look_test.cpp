// Before code is blamed: does it fail twice, and does it read what nobody has written?
#include "check/second_look.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

namespace farcall::check::second_look_test {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

model::Job job(std::uint64_t fill) {
  model::Job made;
  made.fill = fill;
  made.entry.gpr.fill(fill);
  made.entry.gpr[1] = 0x1010;
  made.regions = {{.address = {0x1000},
                   .size_bytes = 16,
                   .access = model::Access::read_write,
                   .name = "stack"}};
  return made;
}

Ended with_result(std::uint64_t result) {
  return {.end = {.result = result}, .told = "returned " + std::to_string(result)};
}

// What a job that failed with result 1 comes to, where `result` says how it ends.
model::Verdict looked_at(const std::function<std::uint64_t(const model::Job&)>& result,
                         std::size_t& jobs) {
  SecondLook look(with_result(1), job(0x1111111111111111), job(0xeeeeeeeeeeeeeeee));
  while (const auto next = look.next_job()) {
    ++jobs;
    look.take(with_result(result(*next)));
  }
  model::Verdict verdict{.findings = {{ErrorCode::result_mismatch, "", "expected 2"}}};
  look.conclude(verdict, 7);
  return verdict;
}

TEST(SecondLook, LeavesAFailureThatDependsOnNothing) {
  std::size_t jobs = 0;
  const model::Verdict verdict = looked_at([](const model::Job&) { return 1; }, jobs);
  ASSERT_EQ(verdict.findings.size(), 1U);
  EXPECT_EQ(verdict.findings[0].code, ErrorCode::result_mismatch);
  EXPECT_EQ(jobs, 2U);  // the same job, and the other seed's
}

TEST(SecondLook, NamesTheRegisterThatWasRead) {
  for (const std::size_t read : {0U, 13U, 14U, 15U, 31U}) {
    std::size_t jobs = 0;
    const model::Verdict verdict = looked_at(
        [read](const model::Job& run) { return run.entry.gpr[read] == 0x1111111111111111 ? 1 : 5; },
        jobs);
    ASSERT_EQ(verdict.findings.size(), 2U);
    EXPECT_EQ(verdict.findings[0].code, ErrorCode::guest_unwritten_value);
    EXPECT_EQ(verdict.findings[0].text,
              "the code reads r" + std::to_string(read) +
                  " before anybody has written it; with --seed 7 it ends otherwise: returned 5");
    EXPECT_LE(jobs, 10U);  // halves 114 pieces
  }
}

TEST(SecondLook, NamesTheByteThatWasRead) {
  std::size_t jobs = 0;
  const model::Verdict verdict = looked_at(
      [](const model::Job& run) {
        const SharedBytes& bytes = run.regions[0].bytes;
        const auto fill = static_cast<std::byte>(run.fill & 0xff);
        return (bytes.size() > 9 ? bytes[9] : fill) == std::byte{0x11} ? 1 : 5;
      },
      jobs);
  ASSERT_EQ(verdict.findings.size(), 2U);
  EXPECT_THAT(verdict.findings[0].text, HasSubstr("the byte of the stack at 0000000000001009"));
}

TEST(SecondLook, BlamesAMachineThatDoesNotRepeat) {
  std::size_t jobs = 0;
  const model::Verdict verdict = looked_at([](const model::Job&) { return 3; }, jobs);
  ASSERT_EQ(verdict.findings.size(), 1U);
  EXPECT_EQ(verdict.findings[0].code, ErrorCode::machine_bad_answer);
  EXPECT_THAT(verdict.findings[0].text, HasSubstr("first it returned 1, then returned 3"));
  EXPECT_EQ(jobs, 1U);
}

TEST(SecondLook, OfAnEndlessLoopComparesNothingElse) {
  const model::Cell cell;
  const model::Observations stopped{.ending = model::Ending::out_of_budget};
  const model::Verdict one{.findings = {{ErrorCode::result_mismatch, "", "a"}}, .result = 1};
  const model::Verdict two{.result = 2};
  EXPECT_EQ(ended(cell, one, stopped).end, ended(cell, two, stopped).end);
  const model::Observations returned{.ending = model::Ending::returned};
  EXPECT_NE(ended(cell, one, returned).end, ended(cell, two, returned).end);
}

}  // namespace
}  // namespace farcall::check::second_look_test
