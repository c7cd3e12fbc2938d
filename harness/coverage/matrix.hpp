// Faults against the witnesses: every fault is put into cells that pass with a JIT, and who sees it
// is counted.
#pragma once

#include <array>
#include <span>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "coverage/witness.hpp"
#include "engine/jit.hpp"
#include "faults/fault.hpp"
#include "model/json.hpp"
#include "run/runner.hpp"

namespace farcall::coverage {

struct FaultRow {
  const faults::Fault* fault = nullptr;
  std::string_view not_applicable = {};  // why it cannot be put into this JIT; empty: it can
  std::size_t cells = 0;                 // that it was put into
  std::size_t caught = 0;                // of these
  std::array<std::size_t, kWitnessCount> seen = {};   // cells in which this witness spoke
  std::array<std::size_t, kWitnessCount> alone = {};  // and no other
  std::string first;                                  // the first cell that caught it, `FILE@CELL`
  std::string finding;                                // what it said

  // The witness that saw the fault in some cell, if it is the only one in all cells; else nothing.
  std::optional<Witness> only() const;
};

// What became of the cells that faults could be put into.
struct CellCount {
  std::size_t all = 0;
  std::size_t refused = 0;  // of which the JIT makes no code
  std::size_t failing = 0;  // that do not pass without any fault either
  std::size_t left() const { return all - refused - failing; }
};

struct FaultMatrix {
  std::string jit;       // as the command line has it
  bool is_ours = false;  // then each fault must have a place
  CellCount cells;       // counted of other JITs than ours, whose cells all take part
  std::vector<FaultRow> rows;
  bool is_whole = false;  // all faults are there, and the JIT is ours

  // Those that can be put into the JIT and have a place in a cell.
  std::vector<const FaultRow*> placed() const;
  // Of these, those that nothing catches; of our own JIT also those that have no place.
  std::vector<const FaultRow*> unseen() const;
  // Those of kMustBeAlone that are never the only witness of a fault; empty if not all faults are
  // in the matrix.
  std::vector<Witness> idle() const;
  bool good() const { return unseen().empty() && idle().empty(); }
};

// Puts each fault into those of `documents` that it touches, at most kCellsOfCase of each case,
// spread over its cells. `runner.jit` makes the code. Without any fault, all of them must pass: with
// our own JIT, the first that does not is the error; with another one, such cells are left out and
// counted. What `runner.allowed` has is not a failure in a cell that it is found in without any fault.
// case.selects-nothing: no cell is left; machine.lost: `runner.stopped` said so.
inline constexpr std::size_t kCellsOfCase = 4;
Result<FaultMatrix> try_faults(std::span<const faults::Fault* const> faults,
                               std::vector<model::Document> documents, run::RunnerOptions runner);

// `kernel:6.12: 101 of 103 faults caught`, and how many could not be put in: one line.
std::string summary(const FaultMatrix& matrix);

// All but the summary.
std::string matrix_text(const FaultMatrix& matrix);
std::string matrix_markdown(const FaultMatrix& matrix);
model::Json matrix_json(const FaultMatrix& matrix);

}  // namespace farcall::coverage
