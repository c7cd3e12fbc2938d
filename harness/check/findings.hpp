// What each witness has to object. Every function returns its findings, none if all is well.
#pragma once

#include <bit>
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
// What the interpreter's run says of that; of one doubleword, only what was stored last.
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

// How an image is made up, run or not: no word of a function's code is left over that neither its
// line table nor a branch leads to, the last pass of the JIT had its size, and its stubs return to
// it and read data that is aligned where it lies.
// The index after the last word of a function that one of its BPF instructions leads to, by its
// line table and its branches; without a line table, and where all are reached, where its code
// ends.
std::size_t reached_end(const model::CodeFunction& code);
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

// What a walk over the stack stored, beside where the calls that were under way return to, which
// the interpreter cannot know. It is put into `memory`, what is to be there, as the CPU has it.
Findings stack_findings(const model::CodeImage& image, const std::vector<StoredReturn>& stored,
                        const model::Observations& observed, std::endian order,
                        std::vector<bpf::MemoryRegion>& memory);

// How stubs were called, beside the interpreter: the same arguments, call by call. Where a frame
// lies is the code's business, so a pointer into the stack is the same if all pointers of a
// function's calls into its own frame are as far from its stack pointer as the others.
Findings stub_findings(const model::Cell& cell, const Interpretation& source,
                       const model::Observations& observed);

// The regions without the log of stubs, which stub_findings() looks at.
std::vector<bpf::MemoryRegion> memory_but_log(const bpf::Program& program,
                                              std::vector<bpf::MemoryRegion> memory);

// What functions left in their frames, where the image says where those are.
Findings frame_findings(const model::Cell& cell, const model::CodeImage& image,
                        const bpf::InterpreterRun& run, const model::Observations& observed);

// Whether `address` is in the stack of a cell that is there, its end included.
bool is_in_stack(const model::Placement& placement, GuestAddress address);

// Pointers into the stack that are to be in `memory`, where the CPU has its frames elsewhere: each
// must lead into the stack, and all into one frame must be as far apart as the interpreter has
// them. Those that do are put into `memory` as the CPU has them.
Findings stack_pointer_findings(const model::Placement& placement,
                                const std::vector<bpf::StoredPointer>& pointers,
                                const model::Observations& observed, std::endian order,
                                std::vector<bpf::MemoryRegion>& memory);

// Memory beside `expected`, and bytes written outside of everything.
Findings memory_findings(const std::vector<bpf::MemoryRegion>& expected,
                         const model::Observations& observed);

// The call that the JIT was to make at `site`; null if there is none.
const model::CodeCall* call_at_site(const model::CodeImage& image, bpf::CallSite site);

// The call that the decoder found at `at`; null if there is none.
const model::DecodedCall* decoded_at(const std::vector<model::DecodedCall>& decoded,
                                     GuestAddress at);

// `main`, `main+12` or the bare address where no function lies.
std::string describe(const model::CodeImage& image, GuestAddress address);

}  // namespace farcall::check
