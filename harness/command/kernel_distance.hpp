// `farcall kernel distance`: how far from __bpf_call_base stock kernels put JITed code.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "command/commands.hpp"
#include "vm/host.hpp"

namespace farcall::command {

struct DistanceArguments {
  std::vector<std::string> architectures;
  std::vector<std::string> kernels;  // empty: the default one of each architecture
  unsigned boots = 3;                // of each kernel in each setting
  bool json = false;
  std::string picture;  // a file; empty: none
  std::filesystem::path images;
  vm::Host* host = &vm::direct_host();
};

// Boots each, and prints a row for each boot and filling of memory.
ExitCode kernel_distance(const DistanceArguments& arguments);

}  // namespace farcall::command
