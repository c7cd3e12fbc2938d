// The libvirt domain of a guest. Pure: a spec in, a document of libvirt's schema out.
#pragma once

#include <string>

#include "vm/linux_spec.hpp"
#include "vm/machine_spec.hpp"
#include "vm/qemu_abilities.hpp"

namespace farcall::vm {

// What of the host a domain needs to know.
struct DomainPlace {
  std::string name;         // of the domain
  std::string console;      // path of a Unix socket, made by libvirt: the guest's terminal
  QemuAbilities qemu = {};  // of the QEMU that libvirt starts
};

// The guest's memory is a file of libvirt's own, which QEMU knows as kDomainMemory.
std::string domain_xml(const MachineSpec& spec, const DomainPlace& place);

// What of the host the domain of a guest that boots Linux needs to know.
struct LinuxDomainPlace {
  std::string name;
  std::string initramfs;  // a file
  std::string log;        // path of a file, made by libvirt
  std::string terminal;   // path of a Unix socket, made by libvirt
  std::string window;     // name of a file in /dev/shm, made by QEMU if there is none
};

std::string linux_domain_xml(const LinuxSpec& spec, const LinuxDomainPlace& place,
                             LinuxStart start);

inline constexpr const char* kDomainMemory = "/objects/ppc_spapr.ram";

}  // namespace farcall::vm
