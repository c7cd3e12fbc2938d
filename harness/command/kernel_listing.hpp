// `farcall kernel listing`: Debian's bpftool and farcall about the same programs.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "command/commands.hpp"
#include "run/runner.hpp"

namespace farcall::command {

struct ListingArguments {
  std::vector<std::string> kernels;  // versions that were fetched, or files
  run::RunnerOptions runner;         // its images
  std::filesystem::path cases = "cases";
};

// In each kernel, as each reader. Fails if one difference is not known.
ExitCode kernel_listing(const ListingArguments& arguments);

}  // namespace farcall::command
