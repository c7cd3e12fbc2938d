#include "model/job.hpp"

#include <gtest/gtest.h>

#include <set>

#include "tests/model/samples.hpp"

namespace farcall::model {
namespace {

const JobRegion* region_at(const Job& job, GuestAddress address) {
  for (const JobRegion& region : job.regions) {
    if (address >= region.address && address < region.end()) {
      return &region;
    }
  }
  return nullptr;
}

TEST(Job, CodeIsInTheGuestsByteOrderAndMayOnlyBeExecuted) {
  const Job job = make_job(samples::cell(), samples::image(), 1);
  const JobRegion* const code = region_at(job, samples::kMain);
  ASSERT_NE(code, nullptr);
  EXPECT_EQ(code->access, Access::execute);
  EXPECT_EQ(code->size_bytes, 12U);
  EXPECT_EQ(code->bytes[0], std::byte{0x08});  // 3d80c008, least significant byte first
  EXPECT_EQ(code->bytes[3], std::byte{0x3d});
}

TEST(Job, BigEndianCodeBeginsWithTheMostSignificantByte) {
  Cell cell = samples::cell();
  cell.axes.endian = Endian::big;
  const Job job = make_job(cell, samples::image(), 1);
  EXPECT_EQ(region_at(job, samples::kMain)->bytes[0], std::byte{0x3d});
}

TEST(Job, MemoryIsReportedAndTheStackIsNot) {
  const Job job = make_job(samples::cell(), samples::image(), 1);
  const JobRegion* const mem = region_at(job, {0xc000'0000'0100'0000});
  ASSERT_NE(mem, nullptr);
  EXPECT_TRUE(mem->reported);
  EXPECT_EQ(mem->access, Access::read_write);
  const JobRegion* const stack = region_at(job, {job.entry.gpr[1]});
  ASSERT_NE(stack, nullptr);
  EXPECT_FALSE(stack->reported);
  // A callee may write the header of its caller's frame, and nothing above.
  EXPECT_EQ(stack->end().value, job.entry.gpr[1] + 32);
  EXPECT_EQ(job.entry.gpr[1] % 16, 0U);
}

TEST(Job, EntryFollowsTheAbi) {
  const Job job = make_job(samples::cell(), samples::image(), 1);
  EXPECT_EQ(job.entry.gpr[2], 0xc000'0000'0180'0000U);
  EXPECT_EQ(job.entry.gpr[3], 0xc000'0000'0100'0000U);
  EXPECT_EQ(job.entry.gpr[4], 2U);
  EXPECT_EQ(job.entry.gpr[7], 0xffff'ffff'ffff'ffffU);
  EXPECT_EQ(job.entry.gpr[12], samples::kMain.value);
  EXPECT_EQ(job.entry.lr, job.gate.value);
}

TEST(Job, NoTwoRegistersHoldTheSameMarkAndNoTwoSeedsGiveTheSame) {
  std::set<std::uint64_t> marks;
  std::size_t count = 0;
  for (const std::uint64_t seed : {1U, 2U, 3U}) {
    const Job job = make_job(samples::cell(), samples::image(), seed);
    for (std::size_t i = 13; i < 32; ++i) {
      marks.insert(job.entry.gpr[i]);
      marks.insert(job.entry.fpr[i]);
      marks.insert(job.entry.vr[i][0]);
      marks.insert(job.entry.vr[i][1]);
      count += 4;
    }
  }
  EXPECT_EQ(marks.size(), count);
}

TEST(Job, TheGateAvoidsEveryPageOfTheCell) {
  Cell cell = samples::cell();
  const GuestAddress usual = make_job(cell, samples::image(), 1).gate;
  CodeImage image = samples::image();
  image.functions[1].address = usual + 0xffc;  // last word of the usual page
  cell.memory[0].address = usual + 0x1800;     // and the next page
  const Job job = make_job(cell, image, 1);
  EXPECT_EQ(job.gate, usual + 0x2000);
}

}  // namespace
}  // namespace farcall::model
