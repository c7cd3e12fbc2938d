// The command line of QEMU for a guest that boots Linux. Pure, as command_line.hpp.
#pragma once

#include "process/process.hpp"
#include "vm/command_line.hpp"
#include "vm/linux_spec.hpp"

namespace farcall::vm {

// Numbers of the file descriptors that QEMU inherits.
struct LinuxChannels {
  int initramfs = -1;
  int log = -1;       // a file: takes what the kernel writes to its console
  int terminal = -1;  // stream socket: the second terminal
  int window = -1;    // a file of wire::kWindowBytes
  int qmp = -1;       // stream socket: QEMU's own control
};

process::Command linux_command_line(const Qemu& qemu, const LinuxSpec& spec,
                                    const LinuxChannels& channels, LinuxStart start);

}  // namespace farcall::vm
