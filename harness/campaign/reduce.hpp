// From a cell that fails to the smallest one that fails in the same way.
//
// A candidate is what is left of a sketch without some of it, or with something simpler in its
// place. It counts if its first finding, when it is run, is of the same kind (code, kind of site).
// Candidates go to the guest by the hundred; changes that count are then combined, as many as
// still fail in the same way together.
#pragma once

#include <cstdint>
#include <string>

#include "base/error.hpp"
#include "campaign/finding.hpp"
#include "campaign/sketch.hpp"
#include "campaign/trial.hpp"
#include "model/document.hpp"

namespace farcall::campaign {

struct Reduced {
  Sketch sketch;
  std::uint64_t seed = 0;
  FindingKind kind;
  model::Verdict verdict;  // of the reduced cell
  std::string shape;       // what tells this finding from others of its kind
  std::size_t from = 0;    // instructions that the program had
  std::size_t candidates = 0;
};

// The cell that `sketch` is must fail, see kind_of(). usage.bad-argument if it does not, or if what
// fails is the case itself.
Result<Reduced> reduce(Trial& trial, const Sketch& sketch, std::uint64_t seed);

// The case as it is to be kept: it expects what the interpreter comes to, and knows that the JIT
// fails so. `comments` come first.
std::string reduced_case(const Reduced& reduced, const engine::Jit& jit,
                         std::vector<std::string> comments);

struct ReducedDocument {
  model::Document document;
  FindingKind kind;
  std::uint64_t seed = 0;
};

// Reduces a document that has its code: removes memory, arguments and what the JIT said about the
// code, as long as it still fails in the same way. Errors as above.
Result<ReducedDocument> reduce_document(Trial& trial, const model::Document& document,
                                        std::uint64_t seed);

}  // namespace farcall::campaign
