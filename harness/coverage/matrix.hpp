// Faults against the witnesses: every fault is put into cells that pass, and who sees it is
// counted.
#pragma once

#include <array>
#include <span>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "coverage/witness.hpp"
#include "faults/fault.hpp"
#include "model/json.hpp"
#include "run/runner.hpp"

namespace farcall::coverage {

struct FaultRow {
  const faults::Fault* fault = nullptr;
  std::size_t cells = 0;                              // that it was put into
  std::size_t caught = 0;                             // of these
  std::array<std::size_t, kWitnessCount> seen = {};   // cells in which this witness spoke
  std::array<std::size_t, kWitnessCount> alone = {};  // and no other
  std::string first;                                  // the first cell that caught it, `FILE@CELL`
  std::string finding;                                // what it said

  // The witness that saw the fault in some cell, if it is the only one in all cells; else nothing.
  std::optional<Witness> only() const;
};

struct FaultMatrix {
  std::vector<FaultRow> rows;
  bool is_whole = false;  // all faults are there

  std::vector<const FaultRow*> unseen() const;
  // Those of kMustBeAlone that are never the only witness of a fault; empty if not all faults are
  // in the matrix.
  std::vector<Witness> idle() const;
  bool good() const { return unseen().empty() && idle().empty(); }
};

// The first of `documents` that a fault touches, at most kCellsOfCase of each case, spread over its
// cells. Without any fault, all of them must pass: else the first that does not is the error.
inline constexpr std::size_t kCellsOfCase = 4;
Result<FaultMatrix> try_faults(std::span<const faults::Fault* const> faults,
                               std::vector<model::Document> documents, run::RunnerOptions runner);

std::string matrix_text(const FaultMatrix& matrix);
std::string matrix_markdown(const FaultMatrix& matrix);
model::Json matrix_json(const FaultMatrix& matrix);

}  // namespace farcall::coverage
