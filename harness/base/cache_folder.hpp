// Where farcall keeps what it would have to find out again.
#pragma once

#include <filesystem>
#include <optional>

namespace farcall {

// `farcall` in the user's cache folder, by the XDG Base Directory Specification; it need not be
// there. Nothing: the environment names neither XDG_CACHE_HOME nor HOME.
std::optional<std::filesystem::path> cache_folder();

}  // namespace farcall
