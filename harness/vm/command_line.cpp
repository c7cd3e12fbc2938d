#include "vm/command_line.hpp"

#include <fmt/format.h>

#include "vm/hardware.hpp"

namespace farcall::vm {

process::Command command_line(const Qemu& qemu, const MachineSpec& spec, const Channels& channels) {
  const Hardware guest = hardware(spec, qemu.abilities);
  const std::uint64_t megabytes = guest.ram_bytes >> 20;
  std::string machine = fmt::format("{},memory-backend=ram", guest.machine);
  for (const auto& [name, value] : guest.capabilities) {
    machine += fmt::format(",cap-{}={}", name, value);
  }
  process::Command command{
      .program = qemu.program,
      .arguments = {
          "-machine",
          machine,
          "-cpu",
          std::string(guest.cpu),
          "-m",
          fmt::format("{}M", megabytes),
          "-object",
          fmt::format("memory-backend-file,id=ram,size={}M,mem-path=/proc/self/fd/{},share=on",
                      megabytes, channels.ram),
          "-no-user-config",
          "-nodefaults",
          "-display",
          "none",
          "-chardev",
          fmt::format("socket,id=console,fd={}", channels.console),
          "-serial",  // the first has the register that the guest expects
          "chardev:console",
          "-chardev",
          fmt::format("socket,id=qmp,fd={}", channels.qmp),
          "-mon",
          "chardev=qmp,mode=control",
          "-bios",
          // A comma would start another option only in key=value lists, which -bios does not take.
          guest.image,
      }};
  if (qemu.abilities.sandbox) {  // libvirt does that by itself
    command.arguments.insert(command.arguments.end(), {"-sandbox", std::string(kSandbox)});
  }
  for (const auto& [property, value] : guest.device_defaults) {
    command.arguments.insert(command.arguments.end(),
                             {"-global", fmt::format("{}={}", property, value)});
  }
  for (const auto& [option, value] : guest.options) {
    command.arguments.insert(command.arguments.end(),
                             {fmt::format("-{}", option), std::string(value)});
  }
  for (const auto& [name, value] : guest.environment) {
    command.environment.emplace_back(name, value);
  }
  return command;
}

}  // namespace farcall::vm
