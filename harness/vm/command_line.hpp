// The command line of QEMU for a bare guest. Pure: a spec and descriptors in, a command out.
#pragma once

#include <string>

#include "process/process.hpp"
#include "vm/machine_spec.hpp"

namespace farcall::vm {

// Numbers of the file descriptors that QEMU inherits.
struct Channels {
  int ram = -1;      // memfd of wire::kRamBytes, the guest's memory
  int console = -1;  // stream socket: the guest's terminal
  int qmp = -1;      // stream socket: QEMU's own control
};

// How to start `qemu`, the path of qemu-system-ppc64.
process::Command command_line(const std::string& qemu, const MachineSpec& spec,
                              const Channels& channels);

}  // namespace farcall::vm
