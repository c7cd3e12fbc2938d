// Where this checkout and its build lie, for tests that read cases, run the binary or boot images.
#pragma once

#include <filesystem>

namespace farcall::tests {

std::filesystem::path source_dir();
std::filesystem::path build_dir();

}  // namespace farcall::tests
