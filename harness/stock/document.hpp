// From what a kernel answered to a document: its code, at its addresses, for the bare guest.
#pragma once

#include <span>
#include <string>

#include "base/error.hpp"
#include "kernel/guest.hpp"
#include "model/cell.hpp"
#include "model/code_image.hpp"
#include "model/document.hpp"
#include "stock/kernel.hpp"
#include "stock/linux_cells.hpp"

namespace farcall::stock {

// What the bare guest cannot have, or what is not known of a kernel: jit.declined.
Error declined(std::string why, std::string hint = {});

// The code that it made, without what a cell adds; `names` are those of its functions.
model::CodeImage kernel_image(const kernel::Answer& answer, std::span<const std::string> names,
                              const kernel::KernelFacts& facts);

// The kernel's code of a cell that it has placed. jit.declined as above; else as engine::complete().
Result<model::Document> document_of(const LinuxCell& linux_cell, const model::Cell& cell,
                                    const kernel::Answer& answer, const AskedKernel& kernel);

// Puts the helpers that the cell's program calls where they are in the kernel, or what is called in
// their place. jit.declined: that is not known, or in the bare guest there is no such function. The
// code of an ELFv1 kernel calls a helper's code, whose descriptor is elsewhere; farcall's own helpers
// have theirs before it.
Result<void> place_helpers(const kernel::Answer& answer, const KernelSymbols& symbols,
                           model::Abi abi, model::Cell& cell);

// The cell with the program that the verifier has made of its own, whose code finds the values of
// arrays by itself: these are as the kernel has them. The calls that the case states are of another
// program. jit.declined: in the bare guest the program would find other maps than in the kernel.
Result<model::Cell> rewritten_cell(const LinuxCell& linux_cell, model::Cell cell,
                                   bpf::Program program, const kernel::Answer& answer,
                                   const AskedKernel& kernel);

}  // namespace farcall::stock
