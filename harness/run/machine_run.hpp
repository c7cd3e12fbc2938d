// Runs cells that need the same machine on one such machine, which may outlive them.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "check/check.hpp"
#include "model/document.hpp"
#include "model/verdict.hpp"
#include "vm/machine.hpp"

namespace farcall::run {

// The machine that cells of these axes need; `images` is the folder of guest images.
vm::MachineSpec machine_spec(const model::AxisValues& axes, const std::filesystem::path& images);

// Who is told of finished cells, by their index in the documents, from the thread that runs them.
struct MachineRunListener {
  std::function<void(std::size_t index, check::Testimony testimony, model::Verdict verdict)> finish;
  std::function<bool()> stopped;  // nothing more is run once this is true
};

// Runs the documents that `cells` are indices of, and tells `listener` of each as it ends. If there
// is no `machine` yet, the first cell that must run starts it; afterwards it is there for the next
// call. A machine that fails makes errors of the cells that it still had to run, and is gone
// afterwards, as is one that was stopped while it had jobs.
void run_on_machine(std::optional<vm::Machine>& machine,
                    const std::vector<model::Document>& documents,
                    std::span<const std::size_t> cells, const std::filesystem::path& images,
                    const MachineRunListener& listener);

}  // namespace farcall::run
