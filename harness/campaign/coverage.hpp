// What the programs of a campaign have shown of a JIT: which instructions came to which code, and how
// far calls went.
#pragma once

#include <cstdint>
#include <mutex>
#include <set>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "campaign/store.hpp"
#include "run/machine_run.hpp"

namespace farcall::campaign {

// May be used by several threads at the same time.
class Coverage {
 public:
  // `jits`: their identities, in the order in which they are numbered here.
  Coverage(const std::vector<std::string>& jits, Store& store);

  // What of it nobody has shown before, in the order of the program.
  std::vector<StoredCoverage> news(std::size_t jit, const run::FinishedCell& cell);

 private:
  std::mutex mutex_;
  std::vector<std::unordered_set<std::string>> covered_;  // by JIT
  // What was looked into: most programs show nothing new, and to describe code takes time.
  std::set<std::pair<std::size_t, std::uint64_t>> keys_;
};

}  // namespace farcall::campaign
