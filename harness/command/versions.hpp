// What runs beside farcall, for people who look at a failure elsewhere.
#pragma once

#include <string>

namespace farcall::command {

// The first line of `qemu-system-ppc64 --version`; empty if there is none.
std::string qemu_version();

}  // namespace farcall::command
