// The JIT: a linked BPF program to ppc64 code at the addresses that its functions were given.
#pragma once

#include <cstdint>
#include <vector>

#include "base/error.hpp"
#include "model/axes.hpp"
#include "model/cell.hpp"
#include "model/code_image.hpp"
#include "model/linked_program.hpp"

namespace farcall::jit {

// Compiles all functions of `linked.program`, which bpf::validate() accepts. A call goes to where
// the scheme's encoding says (call_target()), not to where the callee is known to be. The
// code of external functions comes from external/, and is put after that of the program's.
//
// Fails with
//   place.misaligned   a function's address, or where a call goes, is not a multiple of 4
//   place.overlap      the code of one function runs into another's
//   place.unmappable   the code of a function runs past the end of the address space
//   call.out-of-range  a call that the reach cannot make, with its site
//   jit.unsupported    a reach that the CPU lacks, an ABI that does not go with its byte order, an
//                      instruction that this JIT does not know, or a function larger than a branch
//                      reaches (32 MiB)
//   jit.size-changed   a function came out with another size than was planned for it
Result<model::CodeImage> compile(const model::LinkedProgram& linked, const model::AxisValues& axes);

// Adds the code of the cell's external functions to an image of its program's functions, and where
// they call back.
void add_externals(const model::Cell& cell, model::CodeImage& image);

// No fewer bytes than each function's code has, whatever the axes are.
std::vector<std::uint64_t> code_at_most(const bpf::Program& program);

// How many bytes each function's code has, its descriptor included. None of the addresses in
// `linked` matters. jit.unsupported.
Result<std::vector<std::uint64_t>> code_sizes(const model::LinkedProgram& linked,
                                              const model::AxisValues& axes);

// Where the code of the call at `site` begins, a nop left out that keeps a prefixed instruction
// from crossing 64 bytes: what a call by `bl` or `pcrel` counts from, and where compile() puts it.
// That depends on the address of the site's function alone: all others, and the call base, may be
// anything. `site` is one of linked.calls. place.misaligned, jit.unsupported.
Result<GuestAddress> call_address(const model::LinkedProgram& linked, const model::AxisValues& axes,
                                  bpf::CallSite site);

}  // namespace farcall::jit
