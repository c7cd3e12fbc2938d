// What came of a cell in a stock kernel: its own run, and its code as a document for the bare
// guest.
//
// The kernel loads the program as the case has it, JITs it, runs it once and says what it made. The
// bare guest then runs the same bytes at the same addresses, with every branch watched.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/address.hpp"
#include "base/error.hpp"
#include "kernel/guest.hpp"
#include "model/document.hpp"
#include "model/verdict.hpp"
#include "show/tag.hpp"
#include "stock/kernel.hpp"
#include "stock/linux_cells.hpp"

namespace farcall::stock {

// Why the kernel is not asked about that cell in that mode: jit.declined. Besides what
// linux_cell.skipped says, a hardened kernel is not asked about large programs: for each constant that
// it blinds it goes through the whole program, which takes minutes in an emulator.
std::optional<Error> why_not_asked(const LinuxCell& linux_cell, wire::KernelMode mode);

struct Captured {
  model::Cell cell;  // placed by the kernel, if it ran
  // Its code, to be run in the bare guest; absent: the kernel interpreted the program, or did not
  // come that far.
  std::optional<model::Document> document;
  // Of the kernel's own run. Empty, and not skipped: interpreter and kernel agree.
  std::vector<model::Finding> findings;
  // jit.declined: the verifier's words, or why the kernel is not asked.
  std::optional<Error> skipped;
  std::vector<std::string> notes = {};  // what is worth knowing, and changes nothing
};

// What the kernel answered to the question of `linux_cell`, asked with that mode. Of a cell that the
// verifier is to reject: check::verifier_findings(), and no document. Of others: the verifier
// rejected the program, or has changed its calls: skipped. Findings are those of
// check::kernel_findings(), of dump.hpp, check::blinding_findings() of a hardened kernel, and
// jit.crashed, jit.refused (no code with the JIT on, code with the JIT off).
// `unhardened` is what the kernel answered to the same question with its JIT on; a hardened answer
// without it is skipped, as nothing shows that constants are blinded. So is what the JIT made and the
// bare guest cannot run. What is skipped although the kernel ran it has findings in place of that, if
// the kernel warned or came to another result.
Captured captured(const LinuxCell& linux_cell, wire::KernelMode mode,
                  const kernel::Answered& answered, const AskedKernel& kernel,
                  const kernel::Answered* unhardened = nullptr);

}  // namespace farcall::stock
