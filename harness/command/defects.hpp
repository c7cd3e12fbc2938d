// Which of the defects that cases know of (`-- known`) JITs and stock kernels really have, and
// which of stock::kKernelDefects stock kernels have.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "engine/jit.hpp"
#include "run/runner.hpp"
#include "stock/kernel.hpp"

namespace farcall::command {

// What came of one case with one JIT.
struct DefectState {
  enum class Found : std::uint8_t {
    there,           // some cell fails as the case knows
    gone,            // it was to be there by what the case knows, and no cell fails
    absent,          // no cell fails
    not_applicable,  // the JIT does not do such programs
    could_not_run,   // nothing was seen
    otherwise,       // a cell fails with something else
  } found{};
  std::string detail;  // the first finding, or the reason
};

struct Defect {
  std::string name;     // of the case
  std::string summary;  // the first line of its first comment
  std::vector<DefectState> states;
};

struct DefectTable {
  std::vector<std::string> jits;  // what they are, see engine::Jit; after them, the kernels
  std::vector<Defect> defects;
};

// Runs the cases in kernel_glue()/defects that know of a failure, all their cells, with the JITs of
// `trees`, named as after `kernel:`. A case that knows of a variant (`kernel:6.12.*+pcrel`) is run
// with that one; where a tree has none, it is not applicable. What some JITs do everywhere
// (`code.size`, `code.data-misaligned`) is looked at in the cases that know of it, and nowhere else.
// A stock kernel is booted, and runs their cells with the JIT on and off; where it is asked about
// no cell of a case, that is not applicable.
// What reading the cases fails with, and jit_named() of a tree.
Result<DefectTable> find_defects(std::span<const std::string> trees,
                                 std::span<const stock::StockKernel> kernels,
                                 const run::RunnerOptions& runner,
                                 const std::function<bool()>& stopped);

std::string text(const DefectTable& table);
nlohmann::json to_json(const DefectTable& table);

}  // namespace farcall::command
