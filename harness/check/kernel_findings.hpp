// What a stock kernel's own run of a cell came to, beside the interpreter.
//
// Pure, like the other witnesses; what the kernel's code does in the bare guest is check.hpp's.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bpf/address_space.hpp"
#include "check/check.hpp"
#include "model/cell.hpp"
#include "model/verdict.hpp"

namespace farcall::check {

// The name of a function's symbol, as the kernel has it and as it should be.
struct SymbolStory {
  std::string function;
  std::string expected;
  std::string seen;
};

struct KernelRun {
  std::string engine;                     // who ran it, for messages: `the kernel's JIT`
  std::uint32_t result = 0;               // r0, the lower half: a test run returns no more
  std::vector<bpf::MemoryRegion> memory;  // afterwards; the cell's regions at the cell's addresses
  std::vector<SymbolStory> symbols;
  std::string trouble;  // the line of the kernel's log that tells of a defect; empty: none does
};

// `source` is the interpreter's run of the cell at the addresses that the kernel gave its memory.
// result.mismatch, memory.mismatch, symbol.mismatch, jit.warned; of the result nothing if the cell
// has none.
std::vector<model::Finding> kernel_findings(const model::Cell& cell, const Interpretation& source,
                                            const KernelRun& run);

}  // namespace farcall::check
