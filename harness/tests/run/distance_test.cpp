// `farcall kernel distance`: what comes of the measured addresses, and of what is missing. That it
// measures ppc64el is in capture_test.cpp; other architectures need emulators that few have.
#include "stock/distance.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "command/distance_picture.hpp"
#include "tests/farcall_process.hpp"
#include "tests/program.hpp"

namespace farcall::run::distance_test {
namespace {

using namespace tests;

using command::DistanceRow;
using testing::HasSubstr;

constexpr GuestAddress kBase{0xffff'ffff'8018'1778};

DistanceRow row() {
  return {.architecture = "riscv64",
          .kernel = "6.12.117-1",
          .setting = "nokaslr",
          .boot = 1,
          .call_base = kBase,
          .functions = {kBase + std::uint64_t{0x100}, kBase + Displacement{-0x2000}},
          .area = std::pair(GuestAddress{0xffff'ffff'7800'0000}, kBase + std::uint64_t{0x1000})};
}

TEST(Distance, TheFarthestCountsToEitherSide) {
  DistanceRow one = row();
  EXPECT_EQ(one.farthest(), kBase + Displacement{-0x2000});
  EXPECT_EQ(one.at_most(), GuestAddress{0xffff'ffff'7800'0000} - kBase);
  one.functions = {kBase + std::uint64_t{0x2001}, kBase + Displacement{-0x2000}};
  EXPECT_EQ(one.farthest(), kBase + std::uint64_t{0x2001});
}

TEST(Distance, ItFitsIfAllFunctionsDo) {
  DistanceRow one = row();
  one.functions = {kBase + Displacement{-0x8000'0000L}, kBase + std::uint64_t{0x7fff'ffff}};
  EXPECT_TRUE(one.fit_32_bits());
  one.functions.push_back(kBase + std::uint64_t{0x8000'0000});
  EXPECT_FALSE(one.fit_32_bits());
}

TEST(Distance, TheAreaOfPpc64IsAllOfVmalloc) {
  EXPECT_EQ(stock::begin_of_area({0xc008'0000'0033'f43c}), GuestAddress{0xc008'0000'0000'0000});
  EXPECT_EQ(stock::end_of_area({0xc008'0000'0033'f43c}), GuestAddress{0xc00a'0000'0000'0000});
  EXPECT_EQ(stock::begin_of_area({0xc000'3d00'0000'6a58}), GuestAddress{0xc000'3d00'0000'0000});
  EXPECT_EQ(stock::end_of_area({0xc000'3d00'0000'6a58}), GuestAddress{0xc000'3e00'0000'0000});
}

std::size_t count(const std::string& text, const std::string& what) {
  std::size_t found = 0;
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) {
    ++found;
  }
  return found;
}

TEST(Distance, ThePictureHasALineForBootsThatDifferInNothingElse) {
  std::vector<DistanceRow> rows = {row(), row(), row(), row()};
  rows[1].boot = 2;
  rows[2].crowd_mebibytes = 102;
  rows[2].is_full = true;
  rows[3] = {.architecture = "s390x", .kernel = "6.1.176-1", .setting = "kaslr", .has_jit = false};
  const std::string svg = command::distance_svg(rows);
  EXPECT_EQ(count(svg, "<circle"), 6U);
  EXPECT_EQ(count(svg, ">riscv64 6.12.117-1, nokaslr<"), 1U);
  EXPECT_THAT(svg, HasSubstr(">riscv64 6.12.117-1, nokaslr, 102 MiB taken (full)<"));
  EXPECT_THAT(svg, HasSubstr(">s390x 6.1.176-1, kaslr: no JIT for BPF<"));
  for (const char* const mark : {">-32 MiB<", ">+32 MiB<", ">-2 GiB<", ">+2 GiB<"}) {
    EXPECT_THAT(svg, HasSubstr(mark));
  }
}

TEST(Distance, AMissingEmulatorIsNamedBeforeAnythingBoots) {
  const auto run =
      tests::run_program(farcall_binary(), {"kernel", "distance", "--arch", "ppc64el", "s390x"},
                         {{"PATH", "/nowhere"}});
  EXPECT_EQ(run.exit_code, 3);
  EXPECT_THAT(run.err, HasSubstr("qemu-system-s390x is not on PATH"));
  EXPECT_THAT(run.err, HasSubstr("apt-get install qemu-system-misc"));
  EXPECT_EQ(run.out, "");
}

TEST(Distance, AnotherArchitectureIsRefused) {
  const auto run = tests::run_program(farcall_binary(), {"kernel", "distance", "--arch", "vax"});
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.err, HasSubstr("vax"));
}

}  // namespace
}  // namespace farcall::run::distance_test
