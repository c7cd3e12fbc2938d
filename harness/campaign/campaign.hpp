// A campaign: programs by the block, each distinct finding reduced, what is new kept.
//
// It does not matter who runs which block, and in what order (campaign/numbers.hpp).
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "campaign/store.hpp"
#include "engine/jit.hpp"
#include "report/report.hpp"
#include "run/runner.hpp"

namespace farcall::campaign {

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
