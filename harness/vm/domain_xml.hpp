// The libvirt domain of a bare guest. Pure: a spec in, a document of libvirt's schema out.
#pragma once

#include <string>

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

inline constexpr const char* kDomainMemory = "/objects/ppc_spapr.ram";

}  // namespace farcall::vm
