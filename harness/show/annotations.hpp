// The code of a program as annotations of a kernel selftest: the `__jited("…")` lines that
// test_loader.c in tools/testing/selftests/bpf holds against what jit_disasm_helpers.c there prints
// of a loaded program. They are in LLVM's syntax (show/llvm_syntax.hpp).
//
// What differs from load to load is left open, so that the same program has the same annotations
// wherever its code, the functions it calls and its memory lie:
//   `{{.*}}`            how far a branch goes that leaves its function; an offset from r2 (TOC) or
//                       r13 (paca)
//   `lis 12, {{.*}}`    the first instruction that makes an address of a function or of memory;
//   `...`               then for the rest of them and nops after it: JITs leave out halfwords that
//                       are 0
//   `...`               stubs after a function, its descriptor before it, words that are not an
//                       instruction
// Each function begins with `func #N:`, as in the printed text: a stub looks like the beginning of
// a function. The code of external functions is left out, as kernels do not print it.
//
// LLVM's disassembler for PowerPC asks for no labels, so branches have distances: `bt	2, .+16`.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "bpf/address_space.hpp"
#include "model/code_image.hpp"

namespace farcall::show {

// Of the first `functions` functions of the image. An immediate is an address if it is one of the
// image's functions or of `memory`.
std::string jited_annotations(const model::CodeImage& image, std::size_t functions,
                              std::span<const bpf::MemoryRegion> memory);

}  // namespace farcall::show
