// Which block of programs a campaign runs next.
//
// That a program shows something new is known only after it has run, so mutants of such programs
// have blocks of their own: one block in four, as long as there is time. These blocks also run the
// programs that another campaign or another JIT has kept.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "campaign/store.hpp"
#include "model/axes.hpp"
#include "report/report.hpp"

namespace farcall::campaign {

struct ScheduledBlock {
  std::size_t jit = 0;
  std::uint64_t seed = 0;
  std::uint64_t block = 0;

  friend bool operator==(const ScheduledBlock&, const ScheduledBlock&) = default;
};

struct ScheduleOptions {
  std::uint64_t seed = 0;
  std::optional<std::uint64_t> programs = {};  // with each JIT, in whole blocks; none around others
  report::Shard shard = {};                    // blocks of it only
  std::vector<std::string> jits = {};          // their identities
};

// Whether the worker that asks has a machine for programs of such axes with that JIT: to start one
// takes as long as some hundred programs.
using HasMachine = std::function<bool(std::size_t jit, const model::AxisValues& axes)>;

// Not for several threads at the same time.
class Schedule {
 public:
  // Goes on where `store` has stopped.
  Schedule(ScheduleOptions options, Store& store);

  // Nothing: all that was wanted has been given out.
  std::optional<ScheduledBlock> next(const HasMachine& has_machine);

  // The block has not been done: it is next.
  void put_back(const ScheduledBlock& block) { again_.push_back(block); }

  // Mutants of the program are to run, unless they have.
  void add_around(std::size_t jit, std::uint64_t seed, std::uint64_t program);

  BlockId id_of(const ScheduledBlock& block) const;

 private:
  std::optional<ScheduledBlock> next_plain(std::size_t jit, const HasMachine& has_machine);
  std::optional<ScheduledBlock> next_around(std::size_t jit, const HasMachine& has_machine);
  bool is_mine(const ScheduledBlock& block) const;

  ScheduleOptions options_;
  std::uint64_t turn_ = 0;
  std::vector<ScheduledBlock> again_;
  std::set<BlockId> done_;                          // before this began, and those around programs
  std::vector<std::vector<ScheduledBlock>> kept_;   // by JIT: blocks around programs
  std::vector<std::vector<ScheduledBlock>> plain_;  // by JIT: those that are next
  std::vector<std::uint64_t> next_block_;           // after them
};

}  // namespace farcall::campaign
