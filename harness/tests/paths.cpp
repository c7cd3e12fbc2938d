#include "tests/paths.hpp"

namespace farcall::tests {

std::filesystem::path source_dir() {
  return FARCALL_SOURCE_DIR;
}
std::filesystem::path build_dir() {
  return FARCALL_BUILD_DIR;
}

}  // namespace farcall::tests
