// Machines as transient domains of libvirt, named farcall-<process id>-<number>.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "vm/host.hpp"

namespace farcall::vm {

// Connects to `uri`, as qemu:///system, qemu:///session or qemu:///embed?root=FOLDER; empty: an
// embedded libvirt in a folder of its own, which needs no daemon. A process can have one embedded
// libvirt in its life, libvirt says. Errors: machine.libvirt, also for one on another machine: guests
// share memory with this process.
//
// Domains end with their machines. What is left of them if this process is killed ends, too: a
// daemon sees to it, or the shell of EmbeddedLibvirt.
Result<std::unique_ptr<Host>> libvirt_host(const std::string& uri);

// The version of the libvirt that is there, as `9.0.0`. Errors: machine.libvirt.
Result<std::string> libvirt_version();

// A domain of some farcall, running or left behind, or a folder of its embedded libvirt without
// any.
struct FoundDomain {
  std::string name;
  std::string where;         // the URI of its libvirt
  int owner = 0;             // process id of its farcall
  bool owner_lives = false;  // on this machine
};

// The domains of farcalls at `uri`; empty: those of this user's embedded libvirts in folders
// of their own.
Result<std::vector<FoundDomain>> list_domains(const std::string& uri);

// Ends `domain`. Errors: machine.libvirt, file.unwritable.
Result<void> end_domain(const FoundDomain& domain);

}  // namespace farcall::vm
