// Where this checkout and its build lie, for tests that read cases, run the binary or boot images.
#pragma once

#include <filesystem>

namespace farcall::tests {

std::filesystem::path source_dir();
// This build, or the one that the environment names in FARCALL_TESTED_BUILD: end-to-end tests of
// one build can so be run on the programs of another.
std::filesystem::path build_dir();

}  // namespace farcall::tests
