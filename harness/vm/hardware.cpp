#include "vm/hardware.hpp"

#include "wire/mailbox.hpp"

namespace farcall::vm {
namespace {

// TCG has none of the speculation barriers that pseries promises by default, and says so on stderr
// unless told to leave them out.
std::vector<Setting> capabilities_of_tcg() {
  return {{"cfpc", "broken"}, {"sbbc", "broken"}, {"ibs", "broken"}, {"ccf-assist", "off"}};
}

std::string_view name_of(model::Cpu cpu) {
  return model::value_names(model::Axis::cpu)[static_cast<std::size_t>(cpu)];
}

}  // namespace

// In huge pages, QEMU's heap costs fewer page faults: 2 ms of a start. With the threshold its tables
// of 2 MiB (the hash page table, a device tree, addresses for PCI) are in it, too: 1 ms more.
constexpr std::string_view kTunables =
    "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=16777216";

std::string image_name(model::Endian endian, model::Mmu /*mmu*/) {
  return endian == model::Endian::big ? "bare-be.bin" : "bare-le.bin";
}

Hardware hardware(const MachineSpec& spec, const QemuAbilities& qemu) {
  return {.machine = "pseries",
          .cpu = name_of(spec.cpu),
          .ram_bytes = wire::kRamBytes,
          .image = spec.image,
          .console_register = 0x7100'0000,
          .capabilities = capabilities_of_tcg(),
          // A connector for each of 256 PCI slots that nothing is ever plugged into would take 5 ms
          // to make.
          .device_defaults =
              qemu.bridge_without_connectors
                  ? std::vector<Setting>{{"spapr-pci-host-bridge.dynamic-reconfiguration", "off"}}
                  : std::vector<Setting>{},
          .options =
              {// One nanosecond of guest time an instruction: budgets are exact and deterministic.
               {"icount", "shift=0"},
               // Fresh code in every job fills any translation buffer; a small one is as fast and
               // stays small.
               {"accel", "tcg,tb-size=32"},
               // Code that breaks out of the guest has no way to anywhere.
               {"nic", "none"}},
          .environment = {{"GLIBC_TUNABLES", kTunables}}};
}

LinuxHardware linux_hardware(const LinuxSpec& spec) {
  return {.machine = "pseries",
          .machine_options = "x-vof=on",  // its own firmware would take 5 s
          .cpu = name_of(spec.cpu),
          .capabilities = capabilities_of_tcg()};
}

}  // namespace farcall::vm
