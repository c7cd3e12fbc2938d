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

// By JIT and time. What was reduced before something simpler was known is left out, and counts as
// that.
std::vector<DistinctFinding> distinct_findings(const Store& store);

nlohmann::ordered_json to_json(const Store& store);

// A page of its own, which loads itself anew while the campaign runs.
std::string html(const Store& store, bool running);

// For the terminal: one line for each JIT.
std::string summary(const Store& store);

}  // namespace farcall::campaign
