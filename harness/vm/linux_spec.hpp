// LinuxSpec: in which machine Linux is to boot, as a value.
#pragma once

#include <cstdint>
#include <string>

#include "model/axes.hpp"

namespace farcall::vm {

struct LinuxSpec {
  model::Cpu cpu = model::Cpu::power9;
  unsigned memory_mebibytes = 512;
  std::string vmlinux;    // absolute path of an ELF file for ppc64
  std::string arguments;  // the kernel's command line
};

enum class LinuxStart : std::uint8_t {
  boots,
  waits,  // for a snapshot of such a machine: QMP's migrate-incoming
};

// The guest's second terminal: its number for hypercalls. The last digit of one makes its interrupt.
inline constexpr unsigned kSecondTerminal = 0x7100'0002;

// The slot of PCI's first bus that shows the guest the window, wire::kWindowBytes of memory that it
// shares with us.
inline constexpr unsigned kWindowSlot = 1;

}  // namespace farcall::vm
