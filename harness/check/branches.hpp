// The branches that the CPU took, each beside what the interpreter does there.
//
// Pure, as steps.hpp is, on whose comparison it rests.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "bpf/program.hpp"
#include "check/steps.hpp"
#include "model/code_image.hpp"
#include "model/job.hpp"

namespace farcall::check {

struct BranchPair {
  // The guest's step after the branch. Absent: the interpreter jumps, and the CPU does not.
  std::optional<std::size_t> step;
  // Where the interpreter jumps to, or goes on where the CPU should not have branched. Absent: the
  // branch is inside the code of one BPF instruction, of a prologue, or of what is not BPF.
  std::optional<bpf::SlotIndex> interpreter;
  bool differs = false;  // for the first time
};

// Of all `cpu` steps that `comparison` was made of, the ones after a taken branch, up to the first
// that differs: in where it goes, or because a register was not the same before it.
std::vector<BranchPair> compare_branches(const bpf::Program& program, const model::CodeImage& image,
                                         const StepComparison& comparison,
                                         std::span<const model::Step> cpu);

}  // namespace farcall::check
