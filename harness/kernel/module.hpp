// Modules of a kernel's package, as the kernel loads them: found, unpacked, and with those that
// they need.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace farcall::kernel {

// What the `.modinfo` of a module, an ELF file, says that it depends on.
std::vector<std::string> dependencies_of(std::string_view module);

// The bytes of the module `name` (`test_bpf`) of the package unpacked in `folder`, after those of
// what it depends on: the order in which they are loaded. Modules may be packed with xz, zstd or
// gzip, whose tools unpack them. kernel.not-fetched: there is none in the folder, or one that it
// needs is not; file.unreadable; kernel.fetch-failed: it cannot be unpacked.
Result<std::vector<std::string>> modules(const std::filesystem::path& folder,
                                         const std::string& name);

}  // namespace farcall::kernel
