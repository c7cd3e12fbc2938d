#include "model/job.hpp"

#include <gtest/gtest.h>

#include <set>

#include "model/landmarks.hpp"
#include "tests/model/samples.hpp"

namespace farcall::model::job_test {
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

// A cell of ELFv1, whose entry is the descriptor {code, TOC, environment}.
Job elfv1_job() {
  Cell cell = samples::cell();
  cell.axes.endian = Endian::big;
  cell.axes.abi = Abi::elfv1;
  CodeImage image = samples::image();
  CodeFunction& main = image.functions[0];
  main.words = {0xc0000000, 0x00010018, 0xc0000000, 0x01987654, 0x11, 0x22, 0x4e800020};
  main.descriptor_words = kDescriptorWords;
  return make_job(cell, image, 1);
}

TEST(Job, Elfv1IsEnteredThroughTheDescriptor) {
  const Job job = elfv1_job();
  EXPECT_EQ(job.entry_point, GuestAddress{0xc000'0000'0001'0018});
  EXPECT_EQ(job.entry.gpr[2], 0xc000'0000'0198'7654U);
  EXPECT_EQ(job.entry.gpr[11], 0x11'0000'0022U);
  EXPECT_EQ(job.entry.ctr, 0xc000'0000'0001'0018U);
  // Whoever calls by the descriptor must be able to load it.
  EXPECT_EQ(region_at(job, samples::kMain)->size_bytes, 28U);
}

TEST(Job, ACalleeOfElfv1MaySaveItsArgumentsInItsCallersFrame) {
  const Job job = elfv1_job();
  EXPECT_EQ(region_at(job, {job.entry.gpr[1]})->end().value, job.entry.gpr[1] + 48 + 64);
}

TEST(CodeImage, ListsDescriptorsAsDataAndPrefixedInstructionsOnce) {
  const CodeFunction function{
      .address = {0x1000},
      .words = {0, 0x4e800020, 0, 0, 0, 0, 0x06100000, 0x39800100, 0x4e800020},
      .descriptor_words = kDescriptorWords};
  EXPECT_EQ(
      listing(function),
      (std::vector<std::string>{".long 0x0", ".long 0x4e800020", ".long 0x0", ".long 0x0",
                                ".long 0x0", ".long 0x0", "pla     r12,256\t# 1118", "", "blr"}));
}

TEST(CodeImage, DescriptorsAreFoundWhereTheyStand) {
  CodeImage image;
  image.functions = {{.address = {0x1000}, .words = {1, 2, 3, 4, 5, 6, 7}, .descriptor_words = 6},
                     {.address = {0x2000}, .words = {1, 2, 3, 4, 5, 6, 7}}};
  EXPECT_EQ(descriptor_at(image, {0x1000}),
            (Descriptor{{0x100000002}, {0x300000004}, 0x500000006}));
  EXPECT_EQ(descriptor_at(image, {0x1004}), std::nullopt);
  EXPECT_EQ(descriptor_at(image, {0x2000}), std::nullopt);
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

TEST(Job, WhatNobodyHasWrittenDependsOnSeedAndCellAlone) {
  Cell cell = samples::cell();
  const Job job = make_job(cell, samples::image(), 4);
  EXPECT_EQ(make_job(cell, samples::image(), 4), job);
  const Job turned = make_job(cell, samples::image(), 5);
  EXPECT_EQ(turned.fill, ~job.fill);
  EXPECT_EQ(turned.entry.gpr[14], ~job.entry.gpr[14]);
  EXPECT_EQ(turned.entry.vr[31][1], ~job.entry.vr[31][1]);
  EXPECT_EQ(turned.entry.gpr[1], job.entry.gpr[1]);
  EXPECT_NE(make_job(cell, samples::image(), 6).fill, job.fill);
  cell.name += "x";
  EXPECT_NE(make_job(cell, samples::image(), 4).fill, job.fill);
}

// A part of the stack of its own, that is reported.
TEST(Job, FramesOfAnImageThatSaysWhereTheyAreAreARegion) {
  const std::vector<bpf::LeftFrame> one = {{.function = 0, .bytes = {}}};
  const std::vector<bpf::LeftFrame> two = {{.function = 0, .bytes = {}},
                                           {.function = 1, .bytes = {}}};
  const auto reported = [](const CodeImage& image, std::span<const bpf::LeftFrame> frames) {
    const Job job = make_job(samples::cell(), image, 0, frames);
    for (const JobRegion& region : job.regions) {
      if (region.name == "stack" && region.reported) {
        return std::pair(job.entry.gpr[1] - region.end().value,
                         job.entry.gpr[1] - region.address.value);
      }
    }
    return std::pair<std::uint64_t, std::uint64_t>(0, 0);
  };
  using Depths = std::pair<std::uint64_t, std::uint64_t>;  // below r1 at entry
  CodeImage image = samples::image();
  EXPECT_EQ(reported(image, two), Depths(0, 0)) << "it does not say";
  image.functions[0].frame_top_bytes = 40;
  EXPECT_EQ(reported(image, {}), Depths(0, 0)) << "nobody asks";
  EXPECT_EQ(reported(image, one), Depths(40, 552));
  EXPECT_EQ(reported(image, two), Depths(40, 552)) << "of the second it does not say";
  image.functions[1].frame_top_bytes = 48;
  EXPECT_EQ(reported(image, two), Depths(40, 552)) << "nor how large the first is";
  image.functions[0].frame_bytes = 600;
  EXPECT_EQ(reported(image, two), Depths(40, 1160));
  image.functions[1].frame_top_bytes = kStackBytes;
  EXPECT_EQ(reported(image, two), Depths(40, 552)) << "there is no such place";
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

TEST(Landmarks, NameWhatAJobMapsAndItsGate) {
  const Job job = make_job(samples::cell(), samples::image(), 1);
  const auto all = landmarks(job);
  EXPECT_EQ(describe(all, samples::kMain), to_string(samples::kMain) + " (main)");
  EXPECT_EQ(describe(all, samples::kMain + 8), to_string(samples::kMain + 8) + " (main+0x8)");
  EXPECT_EQ(describe(all, {0xc000'0000'0100'0001}), "c000000001000001 (mem+0x1)");
  EXPECT_EQ(describe(all, job.gate), to_string(job.gate) + " (gate)");
  EXPECT_EQ(describe(all, job.gate + 4), to_string(job.gate + 4));
}

}  // namespace
}  // namespace farcall::model::job_test
