// What a stock kernel's own run of a cell came to, beside the interpreter and the case.
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

// What the verifier did with a program that the case has it reject. `log`: its words; empty: it had
// none. `reason`: what of them says why.
struct VerifierRun {
  bool rejected = false;
  std::string log;
  std::string reason;
};

// verifier.mismatch: it accepts the program, or rejects it without the words that the case expects.
std::vector<model::Finding> verifier_findings(const model::Cell& cell, const VerifierRun& run);

}  // namespace farcall::check
