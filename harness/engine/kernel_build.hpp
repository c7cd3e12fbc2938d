// From a Linux source tree to a program that is its JIT; see kernel_jit.hpp.
#pragma once

#include <filesystem>

#include "base/error.hpp"
#include "model/axes.hpp"

namespace farcall::engine {

// The program, from the cache or made now. jit.not-built.
Result<std::filesystem::path> build_kernel_jit(const std::filesystem::path& tree,
                                               const std::filesystem::path& glue,
                                               model::Endian endian);

// The emulator that runs it. jit.not-built if it is not installed.
Result<std::string> user_emulator(model::Endian endian);

}  // namespace farcall::engine
