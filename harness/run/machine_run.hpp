// Runs cells that need the same machine on one such machine, which may outlive them.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "check/check.hpp"
#include "engine/jit.hpp"
#include "model/document.hpp"
#include "model/verdict.hpp"
#include "report/report.hpp"
#include "run/documents.hpp"
#include "vm/machine.hpp"

namespace farcall::run {

// The machine that cells of these axes need; `images` is the folder of guest images.
vm::MachineSpec machine_spec(const model::AxisValues& axes, const std::filesystem::path& images);

// What came of one cell, by its index in the documents.
struct FinishedCell {
  std::size_t index = 0;
  std::shared_ptr<const model::Document> document;
  check::Testimony testimony;
  model::Verdict verdict;
  std::string jit;     // who made its code; empty: the document had it
  double seconds = 0;  // on the host, and its share of the guest's time for its batch
  std::uint64_t seed = 0;
};

// How cells are run and judged.
struct MachineRunOptions {
  std::filesystem::path images;             // the folder of guest images
  vm::Host& host = vm::direct_host();       // who starts machines
  engine::Jit jit = engine::farcall_jit();  // who makes code where documents have none
  std::vector<ErrorCode> allowed = {};      // findings that do not make a cell fail
  std::function<void(std::size_t index, model::Observations& seen)> said = nullptr;  // see Hearsay
};

// Where cells come from and go to; called from the thread that runs them.
struct MachineRunListener {
  // The index of the next cell to run, which must not be asked for twice; nothing: there is none.
  std::function<std::optional<std::size_t>()> next;
  std::function<void(FinishedCell&& cell)> finish;
  std::function<bool()> stopped;         // nothing more is run once this is true
  std::function<void()> lost = nullptr;  // a machine has failed; may be null
};

// Runs documents as `listener` names them, until it names no more, and tells it of each as it ends.
// If there is no `machine` yet, the first cell that must run has the host start it; afterwards it
// is there for the next call. One that was stopped while it had jobs is gone.
//
// The cells that a machine had been given when it failed are run once more, on a new machine and
// one by one. A cell that two machines failed with is that cell's error, and nobody else's. Where
// no machine comes to run, all cells without a verdict are errors, and why is returned.
Result<void> run_on_machine(std::optional<vm::Machine>& machine, const Documents& documents,
                            const MachineRunOptions& options, const MachineRunListener& listener);

// A `next` that names the cells 0 … `count` − 1.
std::function<std::optional<std::size_t>()> each_of(std::size_t count);

// A cell that `error` of a machine keeps from being run.
FinishedCell not_run(const Documents& documents, std::size_t index, const engine::Jit& jit,
                     const Error& error);

// What reports say of it. `replay` is the command that runs it again.
report::CellReport cell_report(const FinishedCell& cell, std::string replay);

}  // namespace farcall::run
