#include "base/shared_bytes.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace farcall::shared_bytes_test {
namespace {

using testing::ElementsAre;

constexpr std::byte kOne{1};
constexpr std::byte kTwo{2};

TEST(SharedBytes, AreThoseOfAVector) {
  const SharedBytes bytes = std::vector{kOne, kTwo};
  EXPECT_THAT(bytes, ElementsAre(kOne, kTwo));
  EXPECT_EQ(bytes.to_vector(), (std::vector{kOne, kTwo}));
  EXPECT_EQ(bytes[1], kTwo);
}

TEST(SharedBytes, OfNothingAreEmpty) {
  EXPECT_TRUE(SharedBytes().empty());
  EXPECT_EQ(SharedBytes(), SharedBytes::of({}, 0));
  EXPECT_EQ(SharedBytes(std::vector<std::byte>()), SharedBytes());
  EXPECT_TRUE(SharedBytes().own().empty());
}

TEST(SharedBytes, AreZeroAfterThoseThatAreGiven) {
  EXPECT_THAT(SharedBytes::of(std::vector{kOne}, 3), ElementsAre(kOne, std::byte{0}, std::byte{0}));
  EXPECT_THAT(SharedBytes::of(std::vector{kOne, kTwo}, 1), ElementsAre(kOne));
}

TEST(SharedBytes, ACopyIsSharedUntilOneIsWritten) {
  SharedBytes first{kOne, kTwo};
  SharedBytes second = first;
  EXPECT_EQ(first.data(), second.data());
  second.own()[0] = kTwo;
  EXPECT_THAT(first, ElementsAre(kOne, kTwo));
  EXPECT_THAT(second, ElementsAre(kTwo, kTwo));
  first.own()[1] = kOne;
  EXPECT_THAT(first, ElementsAre(kOne, kOne));
  EXPECT_THAT(second, ElementsAre(kTwo, kTwo));
}

TEST(SharedBytes, WhoOwnsThemAloneCopiesNothing) {
  SharedBytes bytes{kOne};
  const std::byte* const before = bytes.data();
  {
    const SharedBytes copy = bytes;
  }
  EXPECT_EQ(bytes.own().data(), before);
}

TEST(SharedBytes, AreEqualByWhatTheyAre) {
  const SharedBytes bytes{kOne};
  EXPECT_EQ(bytes, (SharedBytes{kOne}));
  EXPECT_NE(bytes, (SharedBytes{kTwo}));
  EXPECT_NE(bytes, (SharedBytes{kOne, kOne}));
}

TEST(SharedBytes, CopiesAreForSeveralThreads) {
  const SharedBytes before = SharedBytes::of({}, 4096);
  std::vector<std::jthread> threads;
  for (unsigned i = 0; i < 4; ++i) {
    threads.emplace_back([copy = before, i]() mutable {
      for (std::byte& byte : copy.own()) {
        byte = static_cast<std::byte>(i + 1);
      }
      EXPECT_THAT(copy, testing::Each(static_cast<std::byte>(i + 1)));
    });
  }
  threads.clear();
  EXPECT_THAT(before, testing::Each(std::byte{0}));
}

}  // namespace
}  // namespace farcall::shared_bytes_test
