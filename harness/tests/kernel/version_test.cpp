#include "kernel/version.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/program.hpp"

namespace farcall::kernel::version_test {
namespace {

using testing::ElementsAre;

Wanted image(const std::string& text) {
  return wanted(Kind::image, text).value();
}
Wanted source(const std::string& text) {
  return wanted(Kind::source, text).value();
}

TEST(Version, ASeriesIsTwoNumbersAndAllElseIsExact) {
  EXPECT_EQ(image("6.12"), (Wanted{Kind::image, "6.12", true, false}));
  EXPECT_EQ(image("6.12-64k"), (Wanted{Kind::image, "6.12", true, true}));
  EXPECT_EQ(image("6.12.107-1-64k"), (Wanted{Kind::image, "6.12.107-1", false, true}));
  EXPECT_EQ(source("7.3~rc7-1~exp1"), (Wanted{Kind::source, "7.3~rc7-1~exp1", false, false}));
  EXPECT_EQ(to_string(image("6.12-64k")), "6.12-64k");
}

TEST(Version, WhatIsNoneIsRefused) {
  for (const char* const text :
       {"", "6", "six", "6.", ".1", "6.12/..", "../6.12", "6.12.107 ", "v6.12", "--source"}) {
    const auto found = wanted(Kind::image, text);
    ASSERT_FALSE(found) << text;
    EXPECT_EQ(found.error().code, ErrorCode::usage_bad_argument);
  }
}

TEST(Version, SeriesAreNotPrefixes) {
  EXPECT_TRUE(matches(source("6.1"), "6.1.176-1"));
  EXPECT_FALSE(matches(source("6.1"), "6.12.107-1"));
  EXPECT_TRUE(matches(source("7.3"), "7.3~rc7-1~exp1"));
}

TEST(Version, BpftoolHasAVersionOfItsOwnInFront) {
  const Wanted tool = wanted(Kind::bpftool, "6.1").value();
  EXPECT_TRUE(matches(tool, "7.1.0+6.1.176-1"));
  EXPECT_FALSE(matches(tool, "7.5.0+6.12.95-1~bpo12+1"));
  EXPECT_FALSE(matches(wanted(Kind::bpftool, "7.1").value(), "7.1.0+6.1.176-1"));
  EXPECT_TRUE(is_part(tool, "bpftool"));
  EXPECT_FALSE(is_part(tool, "linux-image-6.1.0-1-powerpc64le"));
}

TEST(Version, AnExactOneIsAPackagesOrLinuxsOwn) {
  EXPECT_TRUE(matches(source("6.12.95"), "6.12.95-1~bpo12+1"));
  EXPECT_TRUE(matches(source("6.12.95-1~bpo12+1"), "6.12.95-1~bpo12+1"));
  EXPECT_FALSE(matches(source("6.12.9"), "6.12.95-1"));
  EXPECT_FALSE(matches(source("6.12.95-1"), "6.12.95-1~bpo12+1"));
}

TEST(Version, TheOrderIsThatOfDpkg) {
  const std::vector<std::string> versions = {"6.1.9-1",           "6.1.176-1",      "6.1.170-3",
                                             "6.12.95-1~bpo12+1", "6.12.95-1",      "6.12.107-1",
                                             "7.2.13-1",          "7.3~rc7-1~exp1", "7.3-1",
                                             "7.3.1-1",           "7.3.1-1+b1",     "7.3.1-10",
                                             "6.12.95+deb12-1"};
  for (const std::string& left : versions) {
    for (const std::string& right : versions) {
      const auto dpkg =
          tests::run_program("/usr/bin/dpkg", {"--compare-versions", left, "lt", right});
      EXPECT_EQ(is_older(left, right), dpkg.exit_code == 0) << left << " and " << right;
    }
  }
}

constexpr const char* kMadison =
    "linux-source-6.12 | 6.12.117-1 | http://deb.debian.org/debian trixie/main ppc64el Packages\n"
    "linux-source-6.12 | 6.12.107-1 | http://deb.debian.org/debian trixie/main ppc64el Packages\n"
    "linux-source-6.12 | 6.12.107-1 | http://deb.debian.org/debian sid/main ppc64el Packages\n"
    "linux-source-6.12 | 6.12.95-1~bpo12+1 | http://deb.debian.org/debian bookworm-backports/main "
    "ppc64el Packages\n"
    "     linux | 6.12.117-1 | http://deb.debian.org/debian trixie/main Sources\n"
    "half a line |\n";

TEST(Version, MadisonIsReadAndTheNewestComesFirst) {
  const std::vector<Listed> listed = read_madison(kMadison);
  ASSERT_EQ(listed.size(), 5U);
  EXPECT_EQ(listed[0], (Listed{"linux-source-6.12", "6.12.117-1"}));
  EXPECT_THAT(choices(listed, source("6.12")),
              ElementsAre(Choice{"6.12.117-1", {"linux-source-6.12"}},
                          Choice{"6.12.107-1", {"linux-source-6.12"}},
                          Choice{"6.12.95-1~bpo12+1", {"linux-source-6.12"}}));
  EXPECT_THAT(choices(listed, source("6.12.107")),
              ElementsAre(Choice{"6.12.107-1", {"linux-source-6.12"}}));
  EXPECT_TRUE(choices(listed, source("6.12.100")).empty());
}

const std::vector<Listed> kImages = {
    {"linux-image-6.1.0-47-powerpc64le", "6.1.170-3"},
    {"linux-image-6.1.0-50-powerpc64le", "6.1.176-1"},
    {"linux-image-6.1.0-50-powerpc64le-dbg", "6.1.176-1"},
    {"linux-image-6.12.95+deb12-powerpc64le", "6.12.95-1~bpo12+1"},
    {"linux-image-6.12.95+deb12-powerpc64le-64k", "6.12.95-1~bpo12+1"},
    {"linux-image-7.3-powerpc64le", "7.3~rc7-1~exp1"},
    {"linux-binary-7.3-powerpc64le", "7.3~rc7-1~exp1"},
    {"linux-modules-7.3-powerpc64le", "7.3~rc7-1~exp1"},
    {"linux-modules-7.3-powerpc64le-64k", "7.3~rc7-1~exp1"},
    {"linux-image-powerpc64le", "6.1.176-1"},
    {"linux-image-6.1.0-50-amd64", "6.1.176-1"},
};

TEST(Version, AnImageIsThePackageOfItsFlavour) {
  EXPECT_THAT(choices(kImages, image("6.1")),
              ElementsAre(Choice{"6.1.176-1", {"linux-image-6.1.0-50-powerpc64le"}},
                          Choice{"6.1.170-3", {"linux-image-6.1.0-47-powerpc64le"}}));
  EXPECT_THAT(
      choices(kImages, image("6.12-64k")),
      ElementsAre(Choice{"6.12.95-1~bpo12+1", {"linux-image-6.12.95+deb12-powerpc64le-64k"}}));
  EXPECT_TRUE(choices(kImages, image("6.1-64k")).empty());
}

TEST(Version, WhereTheImageIsEmptyItsPartsAreTaken) {
  EXPECT_THAT(
      choices(kImages, image("7.3")),
      ElementsAre(Choice{"7.3~rc7-1~exp1",
                         {"linux-binary-7.3-powerpc64le", "linux-modules-7.3-powerpc64le"}}));
}

}  // namespace
}  // namespace farcall::kernel::version_test
