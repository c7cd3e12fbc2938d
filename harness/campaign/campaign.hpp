// A campaign: programs by the block, each distinct finding reduced, what is new kept.
//
// Program number n of a seed is the same everywhere; block b holds the programs b × kBlockPrograms
// and on, all for one kind of machine. It does not matter who runs which block, and in what order.
// That a program shows something new is known only after it has run, so mutants of such programs
// have blocks of their own: one block in four, as long as there is time. These blocks also run the
// programs that another campaign or another JIT has kept. A mutant's number says which program it
// comes from, and which of its mutants it is.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "campaign/sketch.hpp"
#include "campaign/store.hpp"
#include "engine/jit.hpp"
#include "report/report.hpp"
#include "run/runner.hpp"

namespace farcall::campaign {

inline constexpr std::uint64_t kBlockPrograms = 256;

Sketch program_of_campaign(std::uint64_t seed, std::uint64_t number);

struct CampaignOptions {
  std::uint64_t seed = 0;
  std::optional<std::chrono::duration<double>> time = {};  // no further block begins after it
  std::optional<std::uint64_t> programs = {};              // with each JIT, in whole blocks
  report::Shard shard = {};                                // blocks of it only
  run::RunnerOptions runner = {};                          // machines, hosts, what ends it
  std::vector<engine::Jit> jits = {};
  std::function<void(const StoredFinding&)> found = nullptr;  // each new one, one at a time
  std::function<void(Store&)> block_done = nullptr;           // likewise
  // A machine was lost, and the block that it was at is done again; likewise.
  std::function<void(const Error&)> machine_lost = nullptr;
};

// Runs the blocks that `store` does not have yet, until time, programs or runner.stopped end it.
// The error of a JIT that cannot be had, or of the last machine if several were lost one after the
// other; what is done is in the store.
Result<void> run_campaign(Store& store, const CampaignOptions& options);

}  // namespace farcall::campaign
