// Runs many cells: groups them by the machine they need, keeps each machine busy, hands out what
// came of each cell.
#pragma once

#include <filesystem>
#include <functional>

#include "check/check.hpp"
#include "model/document.hpp"
#include "model/verdict.hpp"
#include "run/documents.hpp"
#include "vm/host.hpp"

namespace farcall::run {

struct RunnerOptions {
  unsigned machines = 1;                // at most so many at the same time
  std::filesystem::path images;         // the folder of guest images
  bool stop_at_failure = false;         // run nothing more once a cell has not passed
  vm::Host* host = &vm::direct_host();  // who starts machines
};

// What came of one cell, valid during the call of the sink.
struct Outcome {
  const model::Document& document;
  const check::Testimony& testimony;  // of a cell that passed, only the image is kept
  const model::Verdict& verdict;
  std::uint64_t seed = 0;
};

// Whether a machine or farcall failed, and not the cell.
bool is_harness_failure(const model::Verdict& verdict);

// Runs all of `documents` and calls `sink` for each, in their order, one at a time. A machine that
// fails makes errors of the cells that it had been given, and of all others of its kind unless a
// second such machine runs; machines of other kinds go on. When stopped at a failure, cells behind
// it are not handed out.
//
// `ended` is told of each cell at once, in whatever order, and never while `sink` is called.
void run_all(const Documents& documents, const RunnerOptions& options,
             const std::function<void(const Outcome&)>& sink,
             const std::function<void(const model::Verdict&)>& ended = nullptr);

}  // namespace farcall::run
