#include "base/file_identity.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

namespace farcall {

std::string file_identity(const std::string& path) {
  struct stat status = {};
  if (::stat(path.c_str(), &status) != 0) {
    return "";
  }
  return fmt::format("{} {} {}.{:09}", path, status.st_size, status.st_mtim.tv_sec,
                     status.st_mtim.tv_nsec);
}

}  // namespace farcall
