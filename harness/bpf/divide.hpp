// Programs as slots, without labels.
#pragma once

#include "base/error.hpp"
#include "bpf/program.hpp"

namespace farcall::bpf {

// Old compilers (clang 14) have the register of `callx` in `imm`: the same instruction with it in
// `dst`. Any other slot stays as it is.
Slot with_callee_in_dst(Slot slot);

// Divides a program without labels into functions, called `main`, `f1`, `f2` …: slot 0 begins one,
// and so does every slot that is called or of which a pointer is loaded. A `callx` of old compilers
// becomes one of today's. elf.unrelocated-call.
Result<void> divide_into_functions(Program& program);

}  // namespace farcall::bpf
