// `farcall kernel listing`: Debian's bpftool and farcall about the same programs.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "command/commands.hpp"
#include "vm/host.hpp"

namespace farcall::command {

struct ListingArguments {
  std::vector<std::string> kernels;  // versions that were fetched, or files
  std::filesystem::path cases = "cases";
  std::filesystem::path images;
  vm::Host* host = &vm::direct_host();
};

// In each kernel, as each reader. Fails if one difference is not known.
ExitCode kernel_listing(const ListingArguments& arguments);

}  // namespace farcall::command
