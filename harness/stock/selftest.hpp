// The kernel's own tests as cells: one for each test of a suite, and one for the suite, which says
// whether it came to its end and told of all of its tests.
#pragma once

#include <string>
#include <vector>

#include "base/error.hpp"
#include "kernel/selftest.hpp"
#include "model/cell.hpp"
#include "model/verdict.hpp"
#include "wire/kernel_batch.hpp"

namespace farcall::stock {

struct SelftestCell {
  model::Cell cell;  // a name and no program: `test_bpf-12-ALU_MOV_X-dst-2@linux-jit`
  model::Verdict verdict;
};

// Pure. A test fails by kernel.test-failed (its words are the finding's), jit.refused (code was made
// with the JIT off), kernel.test-missing (the log does not say what became of it, or goes on to a
// later number); it is skipped, jit.declined, if the JIT made no code for it. The suite fails by
// jit.crashed, jit.warned, kernel.test-missing; or it is the error that `ran` is.
std::vector<SelftestCell> selftest_cells(const std::string& suite, wire::KernelMode mode,
                                         const Result<kernel::SuiteRun>& ran);

}  // namespace farcall::stock
