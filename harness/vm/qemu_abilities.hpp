// What the QEMU that is installed can do, where versions differ. It is asked, once: the answer is
// kept in cache_folder() as long as the program is the same file.
#pragma once

#include <string>
#include <string_view>

namespace farcall::vm {

struct QemuAbilities {
  // Its PCI host bridge can do without connectors, by `dynamic-reconfiguration=off`.
  bool bridge_without_connectors = false;
  // It can lock itself in: kSandbox.
  bool sandbox = false;

  friend bool operator==(const QemuAbilities&, const QemuAbilities&) = default;
};

// The value of `-sandbox` with which a guest that breaks out of QEMU still cannot start a program,
// get rights, or take resources from others. Filters system calls, where QEMU is built with it.
inline constexpr std::string_view kSandbox =
    "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";

// From what `qemu-system-ppc64 -device spapr-pci-host-bridge,help` prints. That says nothing of a
// sandbox.
QemuAbilities read_bridge_help(std::string_view help);

// Of the program at `qemu`, an absolute path. One that cannot be started, or gives no answer, can
// do nothing of it; why, its user hears when a machine is started with it.
QemuAbilities qemu_abilities(const std::string& qemu);

}  // namespace farcall::vm
