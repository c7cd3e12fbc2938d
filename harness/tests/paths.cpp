#include "tests/paths.hpp"

#include <cstdlib>

namespace farcall::tests {

std::filesystem::path source_dir() {
  return FARCALL_SOURCE_DIR;
}
std::filesystem::path build_dir() {
  const char* const tested = std::getenv("FARCALL_TESTED_BUILD");
  return tested == nullptr ? FARCALL_BUILD_DIR : tested;
}

}  // namespace farcall::tests
