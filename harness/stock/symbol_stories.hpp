// The names that a kernel's symbols of JITed code must have: `bpf_prog_TAG_NAME`.
#pragma once

#include <vector>

#include "bpf/program.hpp"
#include "check/kernel_findings.hpp"
#include "kernel/guest.hpp"
#include "stock/kernel.hpp"
#include "stock/linux_cells.hpp"

namespace farcall::stock {

// The names of symbols, expected and seen: the program's is made of what was loaded, those of its
// other functions of what the verifier made of it, `dumped`.
std::vector<check::SymbolStory> symbol_stories(const LinuxCell& linux_cell,
                                               const bpf::Program& dumped,
                                               const kernel::Answer& answer,
                                               const AskedKernel& kernel);

}  // namespace farcall::stock
