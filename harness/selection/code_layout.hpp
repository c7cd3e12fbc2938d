// What is known of code before anything is compiled, by our own linker and JIT: case/ asks, to
// place by `site()` and to see what would overlap.
#pragma once

#include "case/placement.hpp"

namespace farcall::selection {

// Fails with what link_program() refuses wherever the program lies, and with what the JIT does.
cases::CodeLayout code_layout();

}  // namespace farcall::selection
