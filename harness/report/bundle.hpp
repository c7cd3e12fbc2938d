// Reads what `farcall run --bundle` packs: the cells that did not pass, to be run elsewhere.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "model/document.hpp"

namespace farcall::report {

struct Bundled {
  model::Document document;
  std::uint64_t seed = 0;  // that it ran with
  std::string code;        // of the finding that it failed by
};

struct Bundle {
  std::string farcall;  // versions that packed it
  std::string qemu;
  std::vector<Bundled> cells;  // at least one
};

// json.malformed, and what documents are refused for; usage.nothing-selected: it is empty.
Result<Bundle> read_bundle(std::string_view text, const std::string& path);

}  // namespace farcall::report
