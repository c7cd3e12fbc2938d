// Runs many cells: groups them by the machine they need, keeps each machine busy, hands out what
// came of each cell.
#pragma once

#include <filesystem>
#include <functional>

#include "check/check.hpp"
#include "engine/jit.hpp"
#include "model/document.hpp"
#include "model/verdict.hpp"
#include "run/documents.hpp"
#include "run/machine_run.hpp"
#include "vm/host.hpp"

namespace farcall::run {

// Changes what the guest said of the cell with that index, to see what is made of a guest that
// lies.
using Hearsay = std::function<void(std::size_t index, model::Observations& seen)>;

struct RunnerOptions {
  unsigned machines = 1;                    // at most so many at the same time
  std::filesystem::path images;             // the folder of guest images
  bool stop_at_failure = false;             // run nothing more once a cell has not passed
  std::function<bool()> stopped;            // run nothing more once this is true; may be empty
  vm::Host* host = &vm::direct_host();      // who starts machines
  engine::Jit jit = engine::farcall_jit();  // who makes code where documents have none
  std::vector<ErrorCode> allowed = {};      // findings that do not make a cell fail
  Hearsay said = nullptr;                   // alters what guests say; from any thread
};

// What came of the machines.
struct RunSummary {
  std::size_t machines_lost = 0;  // that failed while they ran, or before they had booted
};

// Runs all of `documents` and calls `sink` for each, in their order, one at a time. Of the testimony
// of a cell that passed, only the image is kept. A machine that
// fails is replaced, see run_on_machine(); where none comes to run, all cells of its kind that are
// left are errors, and machines of other kinds go on. When stopped at a failure, cells after it are
// not handed out; when stopped otherwise, all that have ended are.
//
// `ended` is told of each cell at once, in whatever order, and never while `sink` is called.
RunSummary run_all(const Documents& documents, const RunnerOptions& options,
                   const std::function<void(const FinishedCell&)>& sink,
                   const std::function<void(const model::Verdict&)>& ended = nullptr);

}  // namespace farcall::run
