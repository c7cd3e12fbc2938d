// Code that branches between lwarx and stwcx., as Linux's JIT writes a compare-and-exchange. Our
// own JIT selects instead of branching, so its image is rewritten here.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/farcall_process.hpp"

namespace farcall::run::reservation_test {
namespace {

using namespace tests;

using testing::HasSubstr;
using testing::Not;

// One exchange that stores and one that does not, of each width.
constexpr const char* kCase = R"(# For the branch trace.
-- matrix
endian le be
cpu    power8 power9 power10
mmu    hash radix
-- mem
2a 00 00 00 00 00 00 2a 7a 7a 7a 7a 05 05 05 05
-- asm
ldxdw %r0, [%r1+0]
mov %r2, 9
mov %r3, 10
lock cmpxchg [%r1+0], %r2
mov %r0, 8
lock cmpxchg [%r1+0], %r3
mov %r6, %r0
mov %r0, 0x05050505
lock cmpxchg32 [%r1+12], %r2
mov %r0, 8
lock cmpxchg32 [%r1+12], %r3
add %r0, %r6
exit
-- result
18
)";

constexpr std::uint32_t kHwsync = 0x7c00'04ac;
constexpr std::uint32_t kNop = 0x6000'0000;
constexpr std::uint32_t kBneMask = 0xffff'0003;
constexpr std::uint32_t kBne = 0x4082'0000;

// Words around the lwarx or ldarx of the image, at number 1, which rewrite() may replace:
// hwsync, larx, compare, isel, stcx., bne, hwsync.
using Loop = std::array<std::uint32_t, 7>;
constexpr std::size_t kLoopLarx = 1;

// Rewrites each loop, which must be as our JIT makes them, and returns how many there are.
template <typename Rewrite>
int rewrite_loops(nlohmann::ordered_json& image, Rewrite rewrite) {
  auto& words = image["image"]["functions"][0]["words"];
  const auto word = [&words](std::size_t i) {
    return static_cast<std::uint32_t>(std::stoul(words[i].get<std::string>(), nullptr, 16));
  };
  int count = 0;
  for (std::size_t i = kLoopLarx; i + 6 <= words.size(); ++i) {
    if ((word(i) & 0xfc00'07ff) != 0x7c00'0028 && (word(i) & 0xfc00'07ff) != 0x7c00'00a8) {
      continue;
    }
    Loop loop;
    for (std::size_t j = 0; j < loop.size(); ++j) {
      loop[j] = word(i - kLoopLarx + j);
    }
    EXPECT_EQ(loop[0], kHwsync);
    EXPECT_EQ(loop[3] & 0xfc00'003f, 0x7c00'001eU) << "not an isel";
    EXPECT_EQ(loop[5] & kBneMask, kBne);
    rewrite(loop);
    for (std::size_t j = 0; j < loop.size(); ++j) {
      words[i - kLoopLarx + j] = fmt::format("{:#010x}", loop[j]);
    }
    ++count;
  }
  return count;
}

// The store, not of what isel has selected but of what it selects if the comparison holds.
std::uint32_t store_of_source(const Loop& loop) {
  constexpr std::uint32_t kRegister = 31;
  return (loop[4] & ~(kRegister << 21)) | (loop[3] >> 16 & kRegister) << 21;
}

void branch_before_store(Loop& loop) {
  loop[4] = store_of_source(loop);
  loop[3] = kBne | 12;
}

// An instruction between branch and store, in the place of the first hwsync.
void branch_earlier(Loop& loop) {
  loop = {loop[1], loop[2], kBne | 16, kNop, store_of_source(loop), kBne | (-20 & 0xffff), loop[6]};
}

// Comes back to the comparison and not to the reservation: never ends, traced or not, since the
// second instruction takes the reservation away.
void branch_past_reservation(Loop& loop) {
  loop = {loop[1],   store_of_source(loop), loop[2],
          kBne | 12, store_of_source(loop), kBne | (-12 & 0xffff),
          loop[6]};
}

template <typename Rewrite>
std::string rewritten(const ScratchFolder& folder, const std::string& cell, Rewrite rewrite) {
  auto image =
      nlohmann::ordered_json::parse(run_farcall({"dump", cell, "--stage=image", "--json"}).out);
  EXPECT_EQ(rewrite_loops(image, rewrite), 4) << cell;
  return folder.write("rewritten.json", image.dump());
}

std::vector<std::string> all_cells(const std::string& path) {
  std::istringstream listed(run_farcall({"list", path}).out);
  std::vector<std::string> cells;
  for (std::string line; std::getline(listed, line);) {
    if (const auto at = line.find('@'); at != std::string::npos) {
      cells.push_back(path + line.substr(at, line.find(' ') - at));
    }
  }
  return cells;
}

TEST(Reservation, CompareAndExchangeThatBranchesPasses) {
  const ScratchFolder folder;
  const auto cells = all_cells(folder.write("exchange.case", kCase));
  ASSERT_EQ(cells.size(), 10U);
  for (const std::string& cell : cells) {
    const std::string image = rewritten(folder, cell, branch_before_store);
    const Finished run = run_farcall({"run", "--from", image});
    EXPECT_EQ(run.exit_code, 0) << cell << "\n" << run.out << run.err;
    EXPECT_THAT(run.out, HasSubstr("r0 = 0x12")) << cell;
    // Instruction by instruction, too.
    const Finished traced = run_farcall({"trace", "--from", image});
    EXPECT_EQ(traced.exit_code, 0) << cell << "\n" << traced.out << traced.err;
    EXPECT_THAT(traced.out, HasSubstr("interpreter and CPU agree at 13 BPF instructions")) << cell;
  }
}

TEST(Reservation, WhatTheTraceKeepsFromEndingIsSaidToBeSo) {
  const ScratchFolder folder;
  const std::string cell = all_cells(folder.write("exchange.case", kCase)).front();
  const Finished run = run_farcall({"run", "--from", rewritten(folder, cell, branch_earlier)});
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.out, HasSubstr("guest.budget"));
  EXPECT_THAT(run.out, HasSubstr("this need not be the code's fault"));
}

TEST(Reservation, LoopThatReservesNothingIsTheCodesFault) {
  const ScratchFolder folder;
  const std::string cell = all_cells(folder.write("exchange.case", kCase)).front();
  const Finished run =
      run_farcall({"run", "--from", rewritten(folder, cell, branch_past_reservation)});
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.out, HasSubstr("guest.budget"));
  EXPECT_THAT(run.out, Not(HasSubstr("this need not be the code's fault")));
}

}  // namespace
}  // namespace farcall::run::reservation_test
