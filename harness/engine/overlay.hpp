// A source tree as links, without what building it in place left there.
#pragma once

#include <filesystem>

#include "base/error.hpp"

namespace farcall::engine {

// Makes `overlay` anew. Only what a configuration and powerpc's JIT need is looked into; the rest
// is links to folders. jit.not-built if it cannot be made.
Result<void> make_overlay(const std::filesystem::path& tree, const std::filesystem::path& overlay);

}  // namespace farcall::engine
