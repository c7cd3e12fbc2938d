// Hardware: the machine that a guest sees, whoever starts QEMU for it. Made from a MachineSpec or a
// LinuxSpec, it becomes QEMU's command line (command_line.hpp, linux_command_line.hpp) or a libvirt
// domain (domain_xml.hpp), and names nothing of the host but the image.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vm/linux_spec.hpp"
#include "vm/machine_spec.hpp"
#include "vm/qemu_abilities.hpp"

namespace farcall::vm {

using Setting = std::pair<std::string_view, std::string_view>;  // name and value

struct Hardware {
  std::string_view machine;
  std::string_view cpu;
  std::uint64_t ram_bytes = 0;
  std::string image;                     // entered instead of firmware; absolute path
  std::uint32_t console_register = 0;    // the number that the guest's hypercalls name it by
  std::vector<Setting> capabilities;     // pseries': `cfpc`, `broken`
  std::vector<Setting> device_defaults;  // `driver.property`, value
  std::vector<Setting> options;          // of QEMU as a whole: `icount`, `shift=0`
  std::vector<Setting> environment;      // of QEMU's process
};

// As `qemu` can make it.
Hardware hardware(const MachineSpec& spec, const QemuAbilities& qemu);

// Of a guest that boots Linux; the rest is in linux_spec.hpp.
struct LinuxHardware {
  std::string_view machine;
  std::string_view machine_options;  // as QEMU's -machine has them
  std::string_view cpu;
  std::vector<Setting> capabilities;
};

LinuxHardware linux_hardware(const LinuxSpec& spec);

}  // namespace farcall::vm
