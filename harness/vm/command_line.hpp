// The command line of QEMU for a bare guest. Pure: a spec and descriptors in, arguments out.
#pragma once

#include <string>
#include <vector>

#include "vm/machine_spec.hpp"

namespace farcall::vm {

// Numbers of the file descriptors that QEMU inherits.
struct Channels {
  int ram = -1;      // memfd of wire::kRamBytes, the guest's memory
  int console = -1;  // stream socket: the guest's terminal
  int qmp = -1;      // stream socket: QEMU's own control
};

// The arguments behind the program's name.
std::vector<std::string> command_line(const MachineSpec& spec, const Channels& channels);

}  // namespace farcall::vm
