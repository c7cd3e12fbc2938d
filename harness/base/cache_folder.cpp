#include "base/cache_folder.hpp"

#include <cstdlib>

namespace farcall {

std::optional<std::filesystem::path> cache_folder() {
  namespace fs = std::filesystem;
  if (const char* const cache = ::getenv("XDG_CACHE_HOME"); cache != nullptr && *cache == '/') {
    return fs::path(cache) / "farcall";
  }
  if (const char* const home = ::getenv("HOME"); home != nullptr && *home == '/') {
    return fs::path(home) / ".cache/farcall";
  }
  return std::nullopt;
}

}  // namespace farcall
