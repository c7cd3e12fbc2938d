#include "engine/guarded.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <limits>
#include <stdexcept>
#include <thread>

namespace farcall::engine {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

// The address is one that no compiler knows.
void write_to(std::uintptr_t address) {
  volatile std::uintptr_t hidden = address;
  // NOLINTNEXTLINE(performance-no-int-to-ptr)
  *reinterpret_cast<volatile int*>(hidden) = 1;
}

// More frames than any stack holds.
int descend(volatile int* left) {
  volatile int local[256] = {*left};  // NOLINT(modernize-avoid-c-arrays): volatile ones
  *left = local[0] - 1;
  return *left == 0 ? 0 : descend(left) + local[1];
}

TEST(Guarded, WhatWorksIsReturned) {
  const Result<int> made = guarded([]() -> Result<int> { return 7; });
  ASSERT_TRUE(made);
  EXPECT_EQ(made.value(), 7);
}

TEST(Guarded, AnErrorStaysWhatItIs) {
  const Result<int> made =
      guarded([]() -> Result<int> { return Error{ErrorCode::jit_unsupported, "no"}; });
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, ErrorCode::jit_unsupported);
}

TEST(Guarded, ACrashIsAnErrorAndTheNextOneIsToo) {
  for (int i = 0; i < 3; ++i) {
    const Result<int> made = guarded([]() -> Result<int> {
      write_to(8);
      return 0;
    });
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().code, ErrorCode::jit_internal);
    EXPECT_THAT(made.error().message, HasSubstr("signal 11 (Segmentation fault) at address 0x8"));
  }
}

TEST(Guarded, AnAbortIsAnError) {
  const Result<int> made = guarded([]() -> Result<int> { std::abort(); });
  ASSERT_FALSE(made);
  EXPECT_THAT(made.error().message, HasSubstr("signal 6 (Aborted)"));
}

TEST(Guarded, AStackThatIsUsedUpIsAnErrorOnAnyThread) {
  std::optional<std::string> crash;
  std::jthread([&crash] {
    crash = crash_of([] {
      volatile int left = std::numeric_limits<int>::max();
      descend(&left);
    });
  }).join();
  ASSERT_TRUE(crash);
  EXPECT_THAT(*crash, StartsWith("signal 11 (Segmentation fault)"));
}

TEST(GuardedDeathTest, ACrashElsewhereEndsTheProcess) {
  EXPECT_FALSE(crash_of([] {}));
  EXPECT_DEATH(write_to(8), "");
  EXPECT_DEATH(std::abort(), "");
}

}  // namespace
}  // namespace farcall::engine
