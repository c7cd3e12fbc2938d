// The command line of QEMU for a bare guest. Pure: a spec and descriptors in, a command out.
#pragma once

#include <string>

#include "process/process.hpp"
#include "vm/machine_spec.hpp"
#include "vm/qemu_abilities.hpp"

namespace farcall::vm {

// Numbers of the file descriptors that QEMU inherits.
struct Channels {
  int ram = -1;      // memfd of wire::kRamBytes, the guest's memory
  int console = -1;  // stream socket: the guest's terminal
  int qmp = -1;      // stream socket: QEMU's own control
};

struct Qemu {
  std::string program;  // absolute path of qemu-system-ppc64
  QemuAbilities abilities = {};
};

// How to start `qemu`.
process::Command command_line(const Qemu& qemu, const MachineSpec& spec, const Channels& channels);

}  // namespace farcall::vm
