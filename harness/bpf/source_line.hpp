// The line of the source that a compiler made an instruction of, for messages.
#pragma once

#include <string>

#include "bpf/program.hpp"

namespace farcall::bpf {

// What follows the name of a slot, ", probe.c:12:3: `x = y;`"; empty if nobody knows.
std::string source_line(const Program& program, SlotIndex slot);

}  // namespace farcall::bpf
