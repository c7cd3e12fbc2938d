// What a stock kernel tells of a program that it has loaded: its dump, and where the code of each
// instruction begins. As a program again, and beside the program that was loaded.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bpf/program.hpp"
#include "kernel/exchange.hpp"
#include "model/cell.hpp"
#include "model/verdict.hpp"
#include "stock/kernel.hpp"
#include "stock/linux_cells.hpp"

namespace farcall::stock {

// A program as the kernel dumps it, as one whose calls are pc-relative again: their `off` leads to
// the callee. Nothing: a call or a load of a function's address leads to no function.
std::optional<bpf::Program> as_source(std::span<const bpf::Slot> dumped);

// The same of a dump that comes with the functions it has: its calls and loads of pointers name the
// functions that those of `loaded` name, whatever the dump has in them. Nothing: the verifier has
// removed functions, calls or loads, or has added some.
std::optional<bpf::Program> as_source(const bpf::Program& loaded, const kernel::Answer& answer);

// The program that the verifier has made of one whose calls it has changed.
struct Rewritten {
  bpf::Program dumped;   // as in the dump, but that calls and loads of pointers are pc-relative
  bpf::Program program;  // as one that could have been loaded
};

// A dump as it is, but that calls and loads of pointers are pc-relative. Nothing: it does not say
// whom they name.
std::optional<bpf::Program> as_dumped(const bpf::Program& loaded, const kernel::Answer& answer);

// The function that a call in a dump has the address of: which of kRealHelpers it stands for, and its
// own name.
struct CalledSymbol {
  const RealHelper* helper = nullptr;
  const char* symbol = nullptr;
};
std::optional<CalledSymbol> called_symbol(std::int32_t imm, const KernelSymbols& symbols);

// Those of all calls of helpers, but for tail calls. Nothing: of one it is not known.
std::optional<std::vector<CalledSymbol>> called_symbols(std::span<const bpf::Slot> dumped,
                                                        const KernelSymbols& symbols);

// Of `cell`, which the kernel has placed and its JIT compiled. Nothing: the dump does not say whom it
// calls and what it loads.
std::optional<Rewritten> as_rewritten(const model::Cell& cell, const kernel::Answer& answer,
                                      const KernelSymbols& symbols);

// A function that the verifier has removed though it has left a load of its address: that leads to some
// other function, or to none.
std::optional<std::string> removed_pointee(const bpf::Program& loaded,
                                           const kernel::Answer& answer);

// What each call and load of a function's address has in the dump, see check::kDumpRows; `dumped` is
// as_source() of both. dump.mismatch.
std::vector<model::Finding> dump_findings(const bpf::Program& loaded, const bpf::Program& dumped,
                                          const kernel::Answer& answer, wire::KernelMode mode,
                                          const AskedKernel& kernel);

// Whether the kernel's lines have each call where it is in the code: line.mismatch.
std::vector<model::Finding> line_findings(const bpf::Program& loaded, const bpf::Program& dumped,
                                          const kernel::Answer& answer,
                                          const kernel::KernelFacts& facts);

// Whether the code of each function loads the addresses of functions that its loads name, as
// jited_ksyms has them: call.decoded-elsewhere.
std::vector<model::Finding> pointer_findings(const bpf::Program& loaded,
                                             const kernel::Answer& answer,
                                             const kernel::KernelFacts& facts);

}  // namespace farcall::stock
