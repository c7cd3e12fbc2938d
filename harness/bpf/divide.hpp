// Programs without labels.
#pragma once

#include "base/error.hpp"
#include "bpf/program.hpp"

namespace farcall::bpf {

// Divides a program without labels into functions, called `main`, `f1`, `f2` …: slot 0 begins one,
// and so does every slot that is called or of which a pointer is loaded. elf.unrelocated-call.
Result<void> divide_into_functions(Program& program);

}  // namespace farcall::bpf
