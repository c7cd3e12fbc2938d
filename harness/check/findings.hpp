// What each witness has to object. Every function returns its findings, none if all is well.
#pragma once

#include <bit>
#include <cstddef>
#include <span>
#include <vector>

#include "bpf/interpreter.hpp"
#include "check/callees.hpp"
#include "check/check.hpp"
#include "model/verdict.hpp"

namespace farcall::check {

using Findings = std::vector<model::Finding>;

// An address that a walk over the stack stored at `at`: where the call at `site` returns to.
struct StoredReturn {
  GuestAddress at;
  bpf::CallSite site;
  GuestAddress address;
};
// Those of the interpreter's run; for each doubleword, only what was stored there last.
std::vector<StoredReturn> stored_returns(const model::CodeImage& image,
                                         const bpf::InterpreterRun& run);

// The emitted bytes: every call site that the JIT must have made is there, where it says, and goes
// to its callee; no other branch-and-link is there.
// The bytes need not fix where a call through a register goes; where they do, it is to its callee.
Findings decoder_findings(const model::CodeImage& image,
                          const std::vector<model::DecodedCall>& decoded, const Callees& callees);

// Control flow in the emitted bytes, on whatever path, taken or not: every branch in the code of an
// instruction leads to where the code of its target begins, or stays within its own. For functions
// whose line table has all instructions, and the epilogue.
Findings flow_findings(const bpf::Program& program, const model::CodeImage& image);

// The addresses of instructions that the image has in memory, for `gotox`: each is where the code of
// that instruction begins, as far as its function's line table says it.
Findings table_findings(const bpf::Program& program, const model::CodeImage& image);

// The index after the last word of a function that one of its BPF instructions leads to, by its
// line table and its branches; the end of the code if there is no line table, or if all words are
// reached.
std::size_t reached_end(const model::CodeFunction& code);

// How an image is made up, whether it is run or not: no word of a function's code is left over that
// neither the line table nor a branch leads to, the last pass of the JIT had the size of the code,
// and stubs return to their function and read data that is aligned where it lies.
Findings layout_findings(const bpf::Program& program, const model::CodeImage& image);

// The CPU's branches: every call left from a known site, reached its callee, and came back to where
// it was called from.
Findings trace_findings(const model::CodeImage& image,
                        const std::vector<model::DecodedCall>& decoded,
                        const model::Observations& observed, const model::Job& job,
                        const Callees& callees);

// How often and in which order the CPU called, beside the interpreter.
Findings call_count_findings(const model::CodeImage& image,
                             const std::vector<model::DecodedCall>& decoded,
                             const model::Observations& observed,
                             const std::vector<bpf::PseudoCall>& interpreted);

// The same beside what the case says, where there is no program to interpret: sites that it does
// not name must be reached. Calls through registers are counted for each callee that it names.
Findings stated_count_findings(const model::CodeImage& image,
                               const std::vector<model::DecodedCall>& decoded,
                               const model::Observations& observed,
                               const std::vector<model::ExpectedCall>& stated);

// The guest is the one that the cell names.
Findings hardware_findings(const model::AxisValues& axes, const model::GuestHardware& hardware);

// Fault or exhausted budget.
Findings ending_findings(const model::CodeImage& image, const model::Observations& observed,
                         const model::Job& job);

// Registers that the ABI preserves.
Findings abi_findings(model::Abi abi, const model::CodeImage& image,
                      const model::Observations& observed, const model::Job& job);

// What a walk over the stack stored, compared with the return addresses of the calls that were
// under way, which the interpreter cannot know. What the CPU stored is then put into `memory`, the
// expected contents.
Findings stack_findings(const model::CodeImage& image, const std::vector<StoredReturn>& stored,
                        const model::Observations& observed, std::endian order,
                        std::vector<bpf::MemoryRegion>& memory);

// How stubs were called, compared with the interpreter: the same arguments, call by call. The JIT
// may put a frame anywhere, so of the pointers that a function passes into its own frame, each as a
// distance from the stack pointer, all must differ from the interpreter's by the same number.
Findings stub_findings(const model::Cell& cell, const Interpretation& source,
                       const model::Observations& observed);

// The regions but for the log of stubs, which stub_findings() checks.
std::vector<bpf::MemoryRegion> memory_but_log(const bpf::Program& program,
                                              std::vector<bpf::MemoryRegion> memory);

// What functions left in their frames, if the image says where the frames are.
Findings frame_findings(const model::Cell& cell, const model::CodeImage& image,
                        const bpf::InterpreterRun& run, const model::Observations& observed);

// Whether `address` is in the stack of a cell placed like this; the end of the stack counts, too.
bool is_in_stack(const model::Placement& placement, GuestAddress address);

// Pointers into the stack that are expected in `memory`; the CPU's frames lie elsewhere than the
// interpreter's. Each must lead into the stack, and pointers into one frame must be as far apart as
// the interpreter's. Pointers for which that holds are put into `memory` as the CPU has them.
Findings stack_pointer_findings(const model::Placement& placement,
                                const std::vector<bpf::StoredPointer>& pointers,
                                const model::Observations& observed, std::endian order,
                                std::vector<bpf::MemoryRegion>& memory);

// Regions may have megabytes: the library's comparison of bytes goes one by one.
bool same_bytes(std::span<const std::byte> a, std::span<const std::byte> b);

// Memory beside `expected`, and bytes written outside of everything.
Findings memory_findings(const std::vector<bpf::MemoryRegion>& expected,
                         const model::Observations& observed);

// The call that the JIT was to make at `site`; null if there is none.
const model::CodeCall* call_at_site(const model::CodeImage& image, bpf::CallSite site);

// The call that the decoder found at `at`; null if there is none.
const model::DecodedCall* decoded_at(const std::vector<model::DecodedCall>& decoded,
                                     GuestAddress at);

// A line of the case's file, for a finding; 0: no line.
SourceLocation in_case(const model::Cell& cell, unsigned line);

// `main`, `main+12` or the bare address where no function lies.
std::string describe(const model::CodeImage& image, GuestAddress address);

}  // namespace farcall::check
