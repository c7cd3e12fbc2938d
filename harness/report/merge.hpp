// Reports of parts of a run made into one: the parts that `--shard` cut, or any others.
#pragma once

#include <string>
#include <vector>

#include "base/error.hpp"
#include "report/report.hpp"

namespace farcall::report {

// A report as it was read from `path`.
struct Part {
  std::string path;
  std::string text;
};

struct Merged {
  std::string text;  // the report of all, in the form of the parts
  Totals totals;
  std::vector<std::string> trouble;  // shards missing, shards and cells doubled, in words
};

// Parts are all of --format json, or all of --format junit. Cells come in the order of the parts; a
// doubled shard's cells come once. json.malformed for what is neither, or no report of farcall.
Result<Merged> merge(const std::vector<Part>& parts);

}  // namespace farcall::report
