// `farcall kernel selftest`: the kernel's own module of BPF tests, in its stock guest.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "command/commands.hpp"
#include "command/reporting.hpp"
#include "stock/kernel.hpp"
#include "vm/host.hpp"

namespace farcall::command {

struct SelftestArguments {
  std::string kernel = stock::kDefaultKernel;
  std::string modules;              // folder; empty: that of the kernel's package
  std::vector<std::string> suites;  // empty: all
  ReportOptions reports;
  std::filesystem::path images;
  vm::Host* host = &vm::direct_host();
};

// Each suite with the JIT on and off, each in a guest of its own.
ExitCode kernel_selftest(const SelftestArguments& arguments);

}  // namespace farcall::command
