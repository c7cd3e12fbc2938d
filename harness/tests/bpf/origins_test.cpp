#include "bpf/origins.hpp"

#include <gtest/gtest.h>

#include <array>

namespace farcall::bpf::origins_test {
namespace {

TEST(Origins, TextsAndObjectsHavePlaces) {
  Origins origins;
  origins.add({.file = "a.case", .line = 3, .column = 7});
  origins.add("sample.o:prog", 0x18, 2);
  origins.add({.file = "a.case", .line = 4, .column = 1});
  ASSERT_EQ(origins.size(), 4U);
  EXPECT_EQ(origins.at(0), (SourceLocation{"a.case", 3, 7}));
  EXPECT_EQ(origins.at(1), SourceLocation{"sample.o:prog+0x18"});
  EXPECT_EQ(origins.at(2), SourceLocation{"sample.o:prog+0x20"});
  EXPECT_EQ(origins.at(3), (SourceLocation{"a.case", 4, 1}));
}

TEST(Origins, BeyondTheEndNobodyKnows) {
  EXPECT_EQ(Origins{}.at(0), SourceLocation{});
  Origins origins;
  origins.add({.file = "a.case", .line = 3, .column = 7});
  EXPECT_EQ(origins.at(1), SourceLocation{});
}

TEST(Origins, WhatIsAppendedKeepsItsFiles) {
  Origins more;
  more.add("b.o:prog", 8, 1);
  more.add({.file = "c.case", .line = 2, .column = 1});
  Origins origins;
  origins.add({.file = "c.case", .line = 1, .column = 1});
  origins.append(3, more);
  ASSERT_EQ(origins.size(), 5U);
  EXPECT_EQ(origins.at(0), (SourceLocation{"c.case", 1, 1}));
  EXPECT_EQ(origins.at(1), SourceLocation{});
  EXPECT_EQ(origins.at(2), SourceLocation{});
  EXPECT_EQ(origins.at(3), SourceLocation{"b.o:prog+0x8"});
  EXPECT_EQ(origins.at(4), (SourceLocation{"c.case", 2, 1}));
}

TEST(Origins, AProgramThatGrowsKeepsThem) {
  Origins origins;
  origins.add({.file = "a.case", .line = 1, .column = 1});
  origins.add("b.o:prog", 8, 1);
  const std::array<std::uint32_t, 3> begins = {0, 2, 3};
  const Origins grown = origins.grown(begins);
  ASSERT_EQ(grown.size(), 3U);
  EXPECT_EQ(grown.at(1), (SourceLocation{"a.case", 1, 1}));
  EXPECT_EQ(grown.at(2), SourceLocation{"b.o:prog+0x8"});
  EXPECT_EQ(Origins{}.grown(begins).size(), 0U);
}

TEST(Origins, SlotsOfAnObjectKeepTheirPlacesWhereOneOfThemGrows) {
  Origins origins;
  origins.add("b.o:prog", 0x40, 2);
  origins.add("b.o:prog", 0x50, 2);
  const std::array<std::uint32_t, 5> begins = {0, 1, 4, 4, 5};  // the second grows, the third goes
  const Origins grown = origins.grown(begins);
  ASSERT_EQ(grown.size(), 5U);
  EXPECT_EQ(grown.at(0), SourceLocation{"b.o:prog+0x40"});
  for (const std::size_t slot : {1U, 2U, 3U}) {
    EXPECT_EQ(grown.at(slot), SourceLocation{"b.o:prog+0x48"});
  }
  EXPECT_EQ(grown.at(4), SourceLocation{"b.o:prog+0x58"});
}

TEST(Origins, APlaceInAnObjectIsNotTakenForTheNextOne) {
  Origins origins;
  origins.add("b.o:prog", 0x40, 2);
  origins.add("b.o:prog", 0x80, 1);
  origins.add("b.o:other", 0x88, 1);
  EXPECT_EQ(origins.at(2), SourceLocation{"b.o:prog+0x80"});
  EXPECT_EQ(origins.at(3), SourceLocation{"b.o:other+0x88"});
  Origins more;
  more.add({.file = "c.case", .line = 7, .column = 1});
  origins.append(4, more);
  EXPECT_EQ(origins.at(4), (SourceLocation{"c.case", 7, 1}));
}

}  // namespace
}  // namespace farcall::bpf::origins_test
