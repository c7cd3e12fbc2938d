// The powerpc JIT of a Linux source tree, as a process.
//
// The tree's two or three files stay as they are, and the tree is never written: it is seen through
// a folder of links, so that one that was built in place serves as well. They are compiled against
// the tree's own headers and linked with kernel/glue.c, for the user's machine and use only: the
// result is GPL-2.0 and is kept in the user's cache. A process of it per endianness does the work.
#pragma once

#include <filesystem>
#include <string>

#include "base/error.hpp"
#include "engine/jit.hpp"
#include "engine/kernel_build.hpp"
#include "model/axes.hpp"

namespace farcall::engine {

// The JIT of the tree `tree`, named `name`. `glue` is the folder of glue.c. The little-endian one
// is made at once if it is not in the cache, the other when a cell first wants it.
// jit.not-built: no such tree, a tool is missing, or it does not compile; the compiler's own words.
// jit.timeout: nobody waited until it was made.
Result<Jit> kernel_jit(std::string name, const std::filesystem::path& tree,
                       const std::filesystem::path& glue, Variant variant, const Stopped& stopped);

}  // namespace farcall::engine
