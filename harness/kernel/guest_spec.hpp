// GuestSpec: which Linux guest is wanted, as a value.
#pragma once

#include <bit>
#include <chrono>
#include <filesystem>

#include "model/axes.hpp"
#include "vm/host.hpp"

namespace farcall::kernel {

struct GuestSpec {
  std::filesystem::path vmlinux;  // an ELF file for ppc64
  std::filesystem::path agent;    // images/linux/agent.cpp, built for its byte order
  std::endian order = std::endian::little;
  model::Cpu cpu = model::Cpu::power9;
  model::Mmu mmu = model::Mmu::radix;
  // Not from a snapshot: what the kernel places by chance is elsewhere than the last time.
  bool fresh_boot = false;
  // A backstop for a guest that hangs; a boot takes 2 s of a core of its own. What QEMU waits for a
  // CPU does not count.
  std::chrono::seconds patience{180};
  vm::Host* host = &vm::direct_host();  // who starts QEMU
  unsigned memory_mebibytes = 512;
  unsigned log_level = 5;  // the kernel's records below it are shown on its console: 5, warnings
};

}  // namespace farcall::kernel
