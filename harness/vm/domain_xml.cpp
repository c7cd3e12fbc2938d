#include "vm/domain_xml.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <pugixml.hpp>
#include <sstream>
#include <utility>
#include <vector>

#include "vm/hardware.hpp"
#include "wire/kernel_batch.hpp"

namespace farcall::vm {
namespace {

using pugi::xml_node;
using Attributes = std::vector<std::pair<const char*, std::string>>;

xml_node add(xml_node parent, const char* name, const Attributes& attributes = {}) {
  xml_node child = parent.append_child(name);
  for (const auto& [key, value] : attributes) {
    child.append_attribute(key).set_value(value.c_str());
  }
  return child;
}

void add_text(xml_node parent, const char* name, const std::string& text) {
  parent.append_child(name).text().set(text.c_str());
}

// QEMU's `power9` is libvirt's `POWER9`.
std::string libvirt_cpu(std::string_view cpu) {
  std::string name(cpu);
  std::ranges::transform(name, name.begin(),
                         [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return name;
}

// libvirt's schema has an element for each capability of pseries; one that is on or off has a
// `state`, the others a `value`.
void add_capability(xml_node features, const Setting& capability) {
  const std::string value(capability.second);
  const bool is_switch = value == "on" || value == "off";
  add(features, std::string(capability.first).c_str(), {{is_switch ? "state" : "value", value}});
}

// A terminal that a guest knows by this number.
void add_terminal(xml_node devices, const char* kind, const Attributes& source, unsigned port,
                  unsigned number) {
  const xml_node serial = add(devices, "serial", {{"type", kind}});
  add(serial, "source", source);
  add(add(serial, "target", {{"type", "spapr-vio-serial"}, {"port", std::to_string(port)}}),
      "model", {{"name", "spapr-vty"}});
  add(serial, "address", {{"type", "spapr-vio"}, {"reg", fmt::format("{:#x}", number)}});
}

// What each pseries has, after its terminals.
void add_basic_devices(xml_node devices, unsigned first_terminal) {
  add(devices, "controller", {{"type", "usb"}, {"model", "none"}});
  add(devices, "controller", {{"type", "pci"}, {"model", "pci-root"}});
  // By default it takes the first number of all, which is the console's. The last digit of a number
  // makes its interrupt.
  add(add(devices, "nvram"), "address",
      {{"type", "spapr-vio"}, {"reg", fmt::format("{:#x}", first_terminal + 1)}});
  add(devices, "memballoon", {{"model", "none"}});
}

void add_cpu(xml_node domain, std::string_view cpu, const std::vector<Setting>& capabilities) {
  const xml_node features = add(domain, "features");
  for (const Setting& capability : capabilities) {
    add_capability(features, capability);
  }
  add_text(add(domain, "cpu", {{"mode", "custom"}, {"match", "exact"}}), "model", libvirt_cpu(cpu));
  for (const char* const event : {"on_poweroff", "on_reboot", "on_crash"}) {
    add_text(domain, event, "destroy");
  }
}

xml_node add_domain(pugi::xml_document& document, const std::string& name,
                    std::uint64_t memory_bytes) {
  const xml_node domain =
      add(document, "domain",
          {{"type", "qemu"}, {"xmlns:qemu", "http://libvirt.org/schemas/domain/qemu/1.0"}});
  add_text(domain, "name", name);
  add(domain, "memory", {{"unit", "b"}}).text().set(std::to_string(memory_bytes).c_str());
  return domain;
}

xml_node add_system(xml_node domain, std::string_view machine) {
  add_text(domain, "vcpu", "1");
  const xml_node os = add(domain, "os");
  add(os, "type", {{"arch", "ppc64"}, {"machine", std::string(machine)}}).text().set("hvm");
  return os;
}

void add_argument(xml_node line, std::string_view option, const std::string& value) {
  add(line, "qemu:arg", {{"value", fmt::format("-{}", option)}});
  add(line, "qemu:arg", {{"value", value}});
}

std::string text_of(const pugi::xml_document& document) {
  std::ostringstream text;
  document.save(text, " ");
  return std::move(text).str();
}

// What libvirt has no words for.
void add_command_line(xml_node domain, const Hardware& guest) {
  const xml_node line = add(domain, "qemu:commandline");
  for (const auto& [property, value] : guest.device_defaults) {
    add_argument(line, "global", fmt::format("{}={}", property, value));
  }
  for (const auto& [option, value] : guest.options) {
    add_argument(line, option, std::string(value));
  }
  for (const auto& [name, value] : guest.environment) {
    add(line, "qemu:env", {{"name", std::string(name)}, {"value", std::string(value)}});
  }
}

}  // namespace

std::string domain_xml(const MachineSpec& spec, const DomainPlace& place) {
  const Hardware guest = hardware(spec, place.qemu);
  pugi::xml_document document;
  const xml_node domain = add_domain(document, place.name, guest.ram_bytes);
  const xml_node memory = add(domain, "memoryBacking");
  add(memory, "source", {{"type", "file"}});
  add(memory, "access", {{"mode", "shared"}});
  add(add_system(domain, guest.machine), "loader", {{"readonly", "yes"}, {"type", "rom"}})
      .text()
      .set(guest.image.c_str());
  add_cpu(domain, guest.cpu, guest.capabilities);
  const xml_node devices = add(domain, "devices");
  add_terminal(devices, "unix", {{"mode", "bind"}, {"path", place.console}}, 0,
               guest.console_register);
  add_basic_devices(devices, guest.console_register);
  add_command_line(domain, guest);
  return text_of(document);
}

std::string linux_domain_xml(const LinuxSpec& spec, const LinuxDomainPlace& place,
                             LinuxStart start) {
  constexpr unsigned kFirstTerminal = 0x7100'0000;
  const LinuxHardware guest = linux_hardware(spec);
  pugi::xml_document document;
  const xml_node domain =
      add_domain(document, place.name, std::uint64_t{spec.memory_mebibytes} << 20U);
  const xml_node os = add_system(domain, guest.machine);
  if (start == LinuxStart::boots) {
    add_text(os, "kernel", spec.vmlinux);
    add_text(os, "initrd", place.initramfs);
    add_text(os, "cmdline", spec.arguments);
  }
  add_cpu(domain, guest.cpu, guest.capabilities);
  const xml_node devices = add(domain, "devices");
  add_terminal(devices, "file", {{"path", place.log}}, 0, kFirstTerminal);
  add_terminal(devices, "unix", {{"mode", "bind"}, {"path", place.terminal}}, 1, kSecondTerminal);
  const xml_node window = add(devices, "shmem", {{"name", place.window}, {"role", "master"}});
  add(window, "model", {{"type", "ivshmem-plain"}});
  add(window, "size", {{"unit", "b"}}).text().set(wire::kWindowBytes);
  add(window, "address",
      {{"type", "pci"}, {"bus", "0"}, {"slot", fmt::format("{:#x}", kWindowSlot)}});
  add_basic_devices(devices, kFirstTerminal);
  const xml_node line = add(domain, "qemu:commandline");
  add_argument(line, "machine", std::string(guest.machine_options));
  if (start == LinuxStart::waits) {
    add_argument(line, "incoming", "defer");
  }
  return text_of(document);
}

}  // namespace farcall::vm
