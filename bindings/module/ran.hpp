// What came of a cell that was run, shared by the bindings of results and of machines.
#pragma once

#include <cstdint>
#include <memory>

#include "check/check.hpp"
#include "model/document.hpp"
#include "model/verdict.hpp"

namespace farcall::python {

// What a guest saw, and the seed of what it was given that nobody has written.
struct Observed {
  model::Observations observations;
  std::uint64_t seed = 0;
};

struct Ran {
  std::shared_ptr<const model::Document> document;
  check::Testimony testimony;
  model::Verdict verdict;
  std::uint64_t seed = 0;
};

}  // namespace farcall::python
