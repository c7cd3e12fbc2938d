// Jobs that are watched instruction by instruction, or not at all.
#include <algorithm>

#include "guest.hpp"

namespace farcall::vm::steps_test {
namespace {

using model::Ending;
using model::Watch;

class Steps : public OnMachine {};
ON_MACHINES(Steps, all_machines());

std::vector<GuestAddress> addresses(const std::vector<model::Step>& steps) {
  std::vector<GuestAddress> all(steps.size());
  std::ranges::transform(steps, all.begin(), &model::Step::address);
  return all;
}

constexpr GuestAddress kCallee = {0xc008'0000'0033'4568};

// Calls far away and comes back: r3 = 1, then 6.
model::Job far_call(std::endian order) {
  model::Job job = code_job(
      {
          0x38600001,  // li r3, 1
          0x7d8903a6,  // mtctr r12
          0x4e800421,  // bctrl
          0x7fe803a6,  // mtlr r31
          kBlr,
      },
      kCode, order);
  add_code(job, kCallee, {0x38630005, kBlr}, order);  // addi r3, r3, 5
  job.entry.gpr[12] = kCallee.value;
  job.entry.gpr[31] = kGate.value;
  job.watch = Watch::instructions;
  job.steps = 100;
  return job;
}

TEST_P(Steps, EveryInstructionButTheFirstIsSeenWithItsRegisters) {
  model::Job job = far_call(order());
  for (std::size_t i = 13; i < 31; ++i) {
    job.entry.gpr[i] = 0x1111'0000'0000'0000 + i;
  }
  job.entry.cr = 0x1234'5678;
  job.entry.xer = 0xe000'0000;
  const auto seen = run(job);
  ASSERT_EQ(seen.ending, Ending::returned);
  const std::vector<GuestAddress> wanted = {kCode + 4,  kCode + 8,  kCallee, kCallee + 4,
                                            kCode + 12, kCode + 16, kGate};
  ASSERT_EQ(addresses(seen.steps), wanted);
  EXPECT_EQ(seen.step_count, wanted.size());
  const auto& steps = seen.steps;
  EXPECT_EQ(steps[0].gpr[3], 1U);
  EXPECT_EQ(steps[0].lr, kGate.value);
  EXPECT_EQ(steps[0].from, GuestAddress{});
  EXPECT_EQ(steps[1].ctr, kCallee.value);
  EXPECT_EQ(steps[2].from, kCode + 8);
  EXPECT_EQ(steps[2].lr, (kCode + 12).value);
  EXPECT_EQ(steps[3].gpr[3], 6U);
  EXPECT_EQ(steps[3].from, GuestAddress{});
  EXPECT_EQ(steps[4].from, kCallee + 4);
  EXPECT_EQ(steps[6].from, kCode + 16);
  for (const model::Step& step : steps) {
    EXPECT_TRUE(std::equal(step.gpr.begin() + 4, step.gpr.end(), job.entry.gpr.begin() + 4));
    EXPECT_EQ(step.cr, job.entry.cr);
    EXPECT_EQ(step.xer, job.entry.xer);
  }
}

// Being watched changes nothing that a job can see.
TEST_P(Steps, WatchingChangesNoResult) {
  model::Job job = far_call(order());
  const auto stepped = run(job);
  job.watch = Watch::branches;
  const auto traced = run(job);
  job.watch = Watch::nothing;
  const auto unseen = run(job);
  EXPECT_EQ(stepped.registers, traced.registers);
  EXPECT_EQ(stepped.registers, unseen.registers);
  EXPECT_EQ(stepped.trace, traced.trace);
  EXPECT_EQ(stepped.taken_branches, traced.taken_branches);
  EXPECT_EQ(traced.trace.size(), 3U);
  EXPECT_TRUE(traced.steps.empty());
  EXPECT_EQ(unseen.ending, Ending::returned);
  EXPECT_TRUE(unseen.trace.empty());
  EXPECT_EQ(unseen.taken_branches, 0U);
}

// Windows of a long run: deterministic, so that they can be put together.
TEST_P(Steps, AreSkippedAndCounted) {
  model::Job job = far_call(order());
  const std::vector<model::Step> all = run(job).steps;
  job.steps = 2;
  for (std::uint64_t skipped = 0; skipped <= all.size(); skipped += 2) {
    job.steps_skipped = skipped;
    const auto seen = run(job);
    EXPECT_EQ(seen.step_count, all.size());
    const auto begin = all.begin() + static_cast<std::ptrdiff_t>(std::min(skipped, all.size()));
    const std::vector<model::Step> wanted(begin,
                                          begin + std::min<std::ptrdiff_t>(2, all.end() - begin));
    EXPECT_EQ(seen.steps, wanted);
  }
}

// A trace interrupt ends a reservation: a loop that is stepped through would go on for ever.
TEST_P(Steps, PauseInALoopAroundAReservation) {
  for (const std::uint64_t begin : {0U, 4U}) {  // whether it is the first instruction or not
    model::Job job = code_job({
        kNop,
        0x7c8018a8,  // ldarx r4, 0, r3
        0x38840001,  // addi r4, r4, 1
        0x7c8019ad,  // stdcx. r4, 0, r3
        0x40a2fff4,  // bne .-12
        kNop,
        kBlr,
    });
    job.entry_point = kCode + (4 - begin);
    add_data(job, kData, std::vector<std::byte>(8));
    job.watch = Watch::instructions;
    job.steps = 100;
    const auto seen = run(job);
    ASSERT_EQ(seen.ending, Ending::returned);
    EXPECT_EQ(std::ranges::count(seen.memory.at(0).bytes, std::byte{1}), 1);
    std::vector<GuestAddress> wanted = {kCode + 20, kCode + 24, kGate};
    if (begin == 4) {
      wanted.insert(wanted.begin(), kCode + 4);
    }
    EXPECT_EQ(addresses(seen.steps), wanted);
  }
}

// What has gone wrong is told by the step before it.
TEST_P(Steps, GoUpToAFault) {
  model::Job job = code_job({kNop, 0x38600002, 0x7fe00008, kBlr});  // trap
  job.watch = Watch::instructions;
  job.steps = 100;
  const auto seen = run(job);
  expect_fault(seen, 0x700, kCode + 8);
  ASSERT_FALSE(seen.steps.empty());
  EXPECT_EQ(seen.steps.back().address, kCode + 8);
  EXPECT_EQ(seen.steps.back().gpr[3], 2U);
}

}  // namespace
}  // namespace farcall::vm::steps_test
