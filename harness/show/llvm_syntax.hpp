// ppc64 instructions as LLVM's disassembler writes them: `mr` with a tab and `mflr` with a space
// after it, registers as bare numbers, branch targets as distances. The kernel's selftests print
// JITed code with it (tools/testing/selftests/bpf/jit_disasm_helpers.c). Taken from the output of
// LLVM 14 and 22 for powerpc64le and powerpc64, which is the same.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace farcall::show {

// The instruction at the front of `words`, not empty; ppc64::instruction_words() says how many of
// them it has. Where its number (an immediate, a displacement, how far a branch goes) depends on
// addresses, `in_place_of_number` is written instead. Empty if the instruction tables do not have
// it. The targets of `ba` and `bca`, which are addresses, are always written as `{{.*}}`.
std::optional<std::string> llvm_syntax(std::span<const std::uint32_t> words,
                                       std::string_view in_place_of_number = {});

}  // namespace farcall::show
