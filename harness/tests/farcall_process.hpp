// Runs the real farcall binary as a user would.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "tests/program.hpp"

namespace farcall::tests {

std::filesystem::path farcall_binary();
std::filesystem::path cases_folder();

// Runs farcall with `arguments` until it ends. `path` replaces the PATH that it searches for QEMU,
// if not empty; `input` is what it finds on its standard input.
Finished run_farcall(const std::vector<std::string>& arguments, const std::string& path = "",
                     const std::string& input = "");

}  // namespace farcall::tests
