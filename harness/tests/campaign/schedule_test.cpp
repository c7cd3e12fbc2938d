// Which blocks a campaign runs, and in what order.
#include "campaign/schedule.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "campaign/numbers.hpp"

namespace farcall::campaign::schedule_test {
namespace {

using testing::ElementsAre;

constexpr auto kNoMachine = [](std::size_t, const model::AxisValues&) { return false; };

Store in_memory() {
  return std::move(Store::open("")).value();
}

std::vector<std::uint64_t> blocks(Schedule& schedule) {
  std::vector<std::uint64_t> numbers;
  while (const auto block = schedule.next(kNoMachine)) {
    numbers.push_back(block->block);
  }
  return numbers;
}

TEST(Schedule, GivesSoManyProgramsToEachJit) {
  Store store = in_memory();
  Schedule schedule({.programs = 2 * kBlockPrograms + 1, .jits = {"a", "b"}}, store);
  std::vector<std::pair<std::size_t, std::uint64_t>> all;
  while (const auto block = schedule.next(kNoMachine)) {
    all.emplace_back(block->jit, block->block);
  }
  using Pair = std::pair<std::size_t, std::uint64_t>;
  EXPECT_THAT(all,
              ElementsAre(Pair(0, 0), Pair(1, 0), Pair(0, 1), Pair(1, 1), Pair(0, 2), Pair(1, 2)));
}

TEST(Schedule, LeavesOutWhatIsDone) {
  Store store = in_memory();
  store.add(StoredBlock{.id = {.jit = "a", .seed = 7, .block = 1}});
  store.add(StoredBlock{.id = {.jit = "a", .seed = 8, .block = 0}});  // of another seed
  Schedule schedule({.seed = 7, .programs = 3 * kBlockPrograms, .jits = {"a"}}, store);
  EXPECT_THAT(blocks(schedule), ElementsAre(0, 2));
}

TEST(Schedule, GivesEachBlockToOneShard) {
  std::multiset<std::uint64_t> all;
  for (const unsigned index : {1U, 2U, 3U}) {
    Store store = in_memory();
    Schedule schedule(
        {.programs = 8 * kBlockPrograms, .shard = {.index = index, .count = 3}, .jits = {"a"}},
        store);
    for (const std::uint64_t block : blocks(schedule)) {
      all.insert(block);
    }
  }
  EXPECT_THAT(all, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
}

TEST(Schedule, GivesABlockThatWasNotDoneAgain) {
  Store store = in_memory();
  Schedule schedule({.programs = 2 * kBlockPrograms, .jits = {"a"}}, store);
  const auto first = schedule.next(kNoMachine);
  ASSERT_TRUE(first);
  schedule.put_back(*first);
  EXPECT_THAT(blocks(schedule), ElementsAre(first->block, 1));
}

TEST(Schedule, PrefersBlocksOfAMachineThatIsThere) {
  Store store = in_memory();
  Schedule schedule({.seed = 3, .programs = 16 * kBlockPrograms, .jits = {"a"}}, store);
  const model::AxisValues there = machine_of_block(3, 5);
  const auto block =
      schedule.next([&](std::size_t, const model::AxisValues& axes) { return axes == there; });
  ASSERT_TRUE(block);
  EXPECT_EQ(machine_of_block(3, block->block), there);
}

TEST(Schedule, RunsMutantsOfWhatWasKept) {
  Store store = in_memory();
  Schedule schedule({.jits = {"a"}}, store);
  schedule.add_around(0, 0, 40);
  schedule.add_around(0, 0, number_in(block_around(40), 2));  // a mutant itself: has none
  unsigned around = 0;
  for (unsigned turn = 0; turn < 8; ++turn) {
    const auto block = schedule.next(kNoMachine);
    ASSERT_TRUE(block);
    around += block->block == block_around(40) ? 1U : 0U;
  }
  EXPECT_EQ(around, 1U);
}

}  // namespace
}  // namespace farcall::campaign::schedule_test
