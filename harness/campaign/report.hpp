// What a campaign has come to so far: findings first, then coverage and throughput.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "campaign/store.hpp"

namespace farcall::campaign {

struct DistinctFinding {
  StoredFinding finding;
  std::uint64_t times = 0;
};

// By JIT and time. A finding for which a simpler program was found later is left out, and counts as
// the later one.
std::vector<DistinctFinding> distinct_findings(const Store& store);

nlohmann::ordered_json to_json(const Store& store);

// A page of its own, which loads itself anew while the campaign runs.
std::string html(const Store& store, bool running);

// For the terminal: one line for each JIT.
std::string summary(const Store& store);

}  // namespace farcall::campaign
