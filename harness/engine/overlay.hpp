// A source tree as links, without what building it in place left there.
#pragma once

#include <filesystem>

#include "base/error.hpp"
#include "engine/jit.hpp"

namespace farcall::engine {

// Makes `overlay` anew. Only what a configuration and powerpc's JIT need is looked into; the rest
// is links to folders. jit.not-built if it cannot be made; jit.timeout once nobody waits: what is there
// then is not all of it.
Result<void> make_overlay(const std::filesystem::path& tree, const std::filesystem::path& overlay,
                          const Stopped& stopped);

}  // namespace farcall::engine
