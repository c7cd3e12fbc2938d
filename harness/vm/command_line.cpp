#include "vm/command_line.hpp"

#include <fmt/format.h>

#include "wire/mailbox.hpp"

namespace farcall::vm {

std::string image_name(model::Endian endian, model::Mmu /*mmu*/) {
  return endian == model::Endian::big ? "bare-be.bin" : "bare-le.bin";
}

Command command_line(const std::string& qemu, const MachineSpec& spec, const Channels& channels) {
  const auto cpu = model::value_names(model::Axis::cpu)[static_cast<std::size_t>(spec.cpu)];
  Command command{
      .program = qemu,
      .arguments =
          {
              "-machine",
              // TCG has none of the speculation barriers that pseries promises by default, and says
              // so on stderr unless told to leave them out.
              "pseries,cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken,cap-ccf-assist=off,"
              "memory-backend=ram",
              // A connector for each of 256 PCI slots that nothing is ever plugged into would take
              // 5 ms to make.
              "-global",
              "spapr-pci-host-bridge.dynamic-reconfiguration=off",
              "-cpu",
              std::string(cpu),
              "-m",
              fmt::format("{}M", wire::kRamBytes >> 20),
              "-object",
              fmt::format("memory-backend-file,id=ram,size={}M,mem-path=/proc/self/fd/{},share=on",
                          wire::kRamBytes >> 20, channels.ram),
              "-no-user-config",
              "-nodefaults",
              "-display",
              "none",
              "-chardev",
              fmt::format("socket,id=console,fd={}", channels.console),
              "-serial",
              "chardev:console",
              "-chardev",
              fmt::format("socket,id=qmp,fd={}", channels.qmp),
              "-mon",
              "chardev=qmp,mode=control",
              "-bios",
              // A comma would start another option only in key=value lists, which -bios does not
              // take.
              spec.image,
              // One nanosecond of guest time an instruction: budgets are exact and deterministic.
              "-icount",
              "shift=0",
              // Fresh code in every job fills any translation buffer; a small one is as fast and
              // stays small.
              "-accel",
              "tcg,tb-size=32",
          },
      // In huge pages, QEMU's heap costs fewer page faults: 2 ms of a start.
      .environment = {{"GLIBC_TUNABLES", "glibc.malloc.hugetlb=1"}}};
  if (channels.gdb >= 0) {
    command.arguments.insert(
        command.arguments.end(),
        {"-chardev", fmt::format("socket,id=gdb,fd={},server=on,wait=off", channels.gdb), "-gdb",
         "chardev:gdb"});
  }
  return command;
}

}  // namespace farcall::vm
