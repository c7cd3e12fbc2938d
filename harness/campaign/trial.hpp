// Trial: a machine at work that runs many small cells in a row, one batch after the other.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <tuple>
#include <vector>

#include "engine/jit.hpp"
#include "model/document.hpp"
#include "run/machine_run.hpp"
#include "run/runner.hpp"

namespace farcall::campaign {

class Trial {
 public:
  // Of `runner`: where images are, who starts machines, who makes code.
  explicit Trial(const run::RunnerOptions& runner);
  Trial(const Trial&) = delete;
  Trial& operator=(const Trial&) = delete;

  // Runs documents, each with its seed; what came of each, in their order. Documents of one call
  // may need different machines. Once runner.stopped says so, verdicts may be missing.
  struct Run {
    model::Document document;
    std::uint64_t seed = 0;
  };
  std::vector<std::optional<run::FinishedCell>> run(std::vector<Run> runs);

  // Whether a machine for cells of these axes is at work.
  bool has_machine(const model::AxisValues& axes) const { return machines_.contains(kind(axes)); }

  const engine::Jit& jit() const { return jit_; }

 private:
  using MachineKind = std::tuple<model::Endian, model::Cpu, model::Mmu>;
  static MachineKind kind(const model::AxisValues& axes) {
    return {axes.endian, axes.cpu, axes.mmu};
  }

  run::RunnerOptions runner_;
  engine::Jit jit_;  // one compiler for all calls
  std::map<MachineKind, std::optional<vm::Machine>> machines_;
};

}  // namespace farcall::campaign
