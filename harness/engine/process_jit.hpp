// JITs that are processes: farcall_jit.h says what they are told and what they answer.
#pragma once

#include <chrono>

#include "engine/jit.hpp"
#include "process/process.hpp"

namespace farcall::engine {

// A process that has not got on for so long hangs.
inline constexpr std::chrono::seconds kPatience{10};

// The JIT that `command` is, a child of each thread that compiles. It is started when the first
// cell is compiled, and anew after it died: by a crash, a hang or an answer that is not one, which
// are the failure of the cell that it had begun (jit.crashed, jit.timeout, jit.bad-answer; all with
// the end of what it wrote to its standard error). jit.not-started if it cannot be started.
Jit process_jit(std::string name, process::Command command,
                std::chrono::milliseconds patience = kPatience);

}  // namespace farcall::engine
