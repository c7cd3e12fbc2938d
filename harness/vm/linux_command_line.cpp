#include "vm/linux_command_line.hpp"

#include <fmt/format.h>

#include "vm/hardware.hpp"
#include "wire/kernel_batch.hpp"

namespace farcall::vm {

process::Command linux_command_line(const Qemu& qemu, const LinuxSpec& spec,
                                    const LinuxChannels& channels, LinuxStart start) {
  const LinuxHardware guest = linux_hardware(spec);
  std::string machine = fmt::format("{},{}", guest.machine, guest.machine_options);
  for (const auto& [name, value] : guest.capabilities) {
    machine += fmt::format(",cap-{}={}", name, value);
  }
  process::Command command{
      .program = qemu.program,
      .arguments = {
          "-machine", machine, "-cpu", std::string(guest.cpu), "-m",
          fmt::format("{}M", spec.memory_mebibytes), "-no-user-config", "-nodefaults", "-display",
          "none", "-no-reboot", "-chardev",
          fmt::format("file,id=console,path=/proc/self/fd/{}", channels.log), "-serial",
          "chardev:console", "-chardev", fmt::format("socket,id=terminal,fd={}", channels.terminal),
          "-device", fmt::format("spapr-vty,chardev=terminal,reg={:#x}", kSecondTerminal),
          "-object",
          fmt::format("memory-backend-file,id=window,size={},mem-path=/proc/self/fd/{},share=on",
                      wire::kWindowBytes, channels.window),
          // Without a driver: the agent maps it through sysfs, by this address.
          "-device", fmt::format("ivshmem-plain,memdev=window,master=on,addr={}", kWindowSlot),
          "-chardev", fmt::format("socket,id=control,fd={}", channels.qmp), "-mon",
          "chardev=control,mode=control"}};
  if (qemu.abilities.sandbox) {
    command.arguments.insert(command.arguments.end(), {"-sandbox", std::string(kSandbox)});
  }
  if (start == LinuxStart::waits) {  // kernel and initramfs are in the memory that it gets
    command.arguments.insert(command.arguments.end(), {"-incoming", "defer"});
    return command;
  }
  command.arguments.insert(
      command.arguments.end(),
      {"-kernel", spec.vmlinux, "-initrd", fmt::format("/proc/self/fd/{}", channels.initramfs),
       "-append", spec.arguments});
  return command;
}

}  // namespace farcall::vm
