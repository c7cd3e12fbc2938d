#include "campaign/schedule.hpp"

#include <algorithm>
#include <span>
#include <utility>

#include "campaign/numbers.hpp"

namespace farcall::campaign {
namespace {

// Of so many blocks that are next, a worker takes one that a machine of its own can run, if there is
// such.
constexpr std::size_t kBlocksToChooseFrom = 16;

// Of so many blocks, one is around a program that was kept.
constexpr std::uint64_t kBlocksForOneAround = 4;

// The first of these that the worker has a machine for, otherwise the first of all.
ScheduledBlock first_for(std::span<const ScheduledBlock> blocks, const HasMachine& has_machine) {
  const auto found = std::ranges::find_if(blocks, [&](const ScheduledBlock& one) {
    return has_machine(one.jit, machine_of_block(one.seed, one.block));
  });
  return found == blocks.end() ? blocks.front() : *found;
}

}  // namespace

Schedule::Schedule(ScheduleOptions options, Store& store)
    : options_(std::move(options)),
      kept_(options_.jits.size()),
      plain_(options_.jits.size()),
      next_block_(options_.jits.size()) {
  for (const BlockId& id : store.blocks()) {
    done_.insert(id);
  }
  for (const KeptProgram& program : store.kept()) {
    for (std::size_t i = 0; i < options_.jits.size(); ++i) {
      add_around(i, program.seed, program.program);
    }
  }
}

std::optional<ScheduledBlock> Schedule::next(const HasMachine& has_machine) {
  if (!again_.empty()) {
    const ScheduledBlock block = again_.back();
    again_.pop_back();
    return block;
  }
  while (true) {
    const std::uint64_t turn = turn_++;
    const std::size_t jit = turn % options_.jits.size();
    // So many programs of a seed are just these.
    if (!options_.programs && turn / options_.jits.size() % kBlocksForOneAround == 0) {
      if (const auto around = next_around(jit, has_machine)) {
        return around;
      }
    }
    if (const auto plain = next_plain(jit, has_machine)) {
      return plain;
    }
    if (std::ranges::all_of(plain_, [](const auto& blocks) { return blocks.empty(); })) {
      return std::nullopt;
    }
  }
}

std::optional<ScheduledBlock> Schedule::next_plain(std::size_t jit, const HasMachine& has_machine) {
  std::vector<ScheduledBlock>& blocks = plain_[jit];
  std::uint64_t& block = next_block_[jit];
  while (blocks.size() < kBlocksToChooseFrom &&
         (!options_.programs || block * kBlockPrograms < *options_.programs)) {
    const ScheduledBlock one{.jit = jit, .seed = options_.seed, .block = block++};
    if (is_mine(one)) {
      blocks.push_back(one);
    }
  }
  if (blocks.empty()) {
    return std::nullopt;
  }
  const ScheduledBlock one = first_for(blocks, has_machine);
  std::erase(blocks, one);
  return one;
}

// Of what was kept, the newest comes first: what is rare is seen late.
std::optional<ScheduledBlock> Schedule::next_around(std::size_t jit,
                                                    const HasMachine& has_machine) {
  std::vector<ScheduledBlock>& kept = kept_[jit];
  if (kept.empty()) {
    return std::nullopt;
  }
  std::vector<ScheduledBlock> newest(
      kept.end() - static_cast<std::ptrdiff_t>(std::min(kept.size(), kBlocksToChooseFrom)),
      kept.end());
  std::ranges::reverse(newest);
  const ScheduledBlock one = first_for(newest, has_machine);
  std::erase(kept, one);
  done_.insert(id_of(one));
  return one;
}

void Schedule::add_around(std::size_t jit, std::uint64_t seed, std::uint64_t program) {
  const ScheduledBlock one{.jit = jit, .seed = seed, .block = block_around(program)};
  if (is_plain_program(program) && is_mine(one)) {
    kept_[jit].push_back(one);
  }
}

BlockId Schedule::id_of(const ScheduledBlock& block) const {
  return {.jit = options_.jits[block.jit], .seed = block.seed, .block = block.block};
}

bool Schedule::is_mine(const ScheduledBlock& block) const {
  return (options_.shard.count == 0 ||
          plain_block(block.block) % options_.shard.count + 1 == options_.shard.index) &&
         !done_.contains(id_of(block));
}

}  // namespace farcall::campaign
