#include "vm/domain_xml.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <pugixml.hpp>
#include <sstream>

#include "vm/hardware.hpp"

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

void add_devices(xml_node domain, const Hardware& guest, const std::string& console) {
  const xml_node devices = add(domain, "devices");
  add(devices, "controller", {{"type", "usb"}, {"model", "none"}});
  add(devices, "controller", {{"type", "pci"}, {"model", "pci-root"}});
  const xml_node serial = add(devices, "serial", {{"type", "unix"}});
  add(serial, "source", {{"mode", "bind"}, {"path", console}});
  add(add(serial, "target", {{"type", "spapr-vio-serial"}, {"port", "0"}}), "model",
      {{"name", "spapr-vty"}});
  add(serial, "address",
      {{"type", "spapr-vio"}, {"reg", fmt::format("{:#x}", guest.console_register)}});
  // By default it takes the first register of all, which is the console's. The last digit of a
  // register makes its interrupt.
  add(add(devices, "nvram"), "address",
      {{"type", "spapr-vio"}, {"reg", fmt::format("{:#x}", guest.console_register + 1)}});
  add(devices, "memballoon", {{"model", "none"}});
}

// What libvirt has no words for.
void add_command_line(xml_node domain, const Hardware& guest) {
  const xml_node line = add(domain, "qemu:commandline");
  const auto argument = [line](std::string_view option, const std::string& value) {
    add(line, "qemu:arg", {{"value", fmt::format("-{}", option)}});
    add(line, "qemu:arg", {{"value", value}});
  };
  for (const auto& [property, value] : guest.device_defaults) {
    argument("global", fmt::format("{}={}", property, value));
  }
  for (const auto& [option, value] : guest.options) {
    argument(option, std::string(value));
  }
  for (const auto& [name, value] : guest.environment) {
    add(line, "qemu:env", {{"name", std::string(name)}, {"value", std::string(value)}});
  }
}

}  // namespace

std::string domain_xml(const MachineSpec& spec, const DomainPlace& place) {
  const Hardware guest = hardware(spec, place.qemu);
  pugi::xml_document document;
  const xml_node domain =
      add(document, "domain",
          {{"type", "qemu"}, {"xmlns:qemu", "http://libvirt.org/schemas/domain/qemu/1.0"}});
  add_text(domain, "name", place.name);
  add(domain, "memory", {{"unit", "b"}}).text().set(std::to_string(guest.ram_bytes).c_str());
  const xml_node memory = add(domain, "memoryBacking");
  add(memory, "source", {{"type", "file"}});
  add(memory, "access", {{"mode", "shared"}});
  add_text(domain, "vcpu", "1");
  const xml_node os = add(domain, "os");
  add(os, "type", {{"arch", "ppc64"}, {"machine", std::string(guest.machine)}}).text().set("hvm");
  add(os, "loader", {{"readonly", "yes"}, {"type", "rom"}}).text().set(guest.image.c_str());
  const xml_node features = add(domain, "features");
  for (const Setting& capability : guest.capabilities) {
    add_capability(features, capability);
  }
  add_text(add(domain, "cpu", {{"mode", "custom"}, {"match", "exact"}}), "model",
           libvirt_cpu(guest.cpu));
  for (const char* const event : {"on_poweroff", "on_reboot", "on_crash"}) {
    add_text(domain, event, "destroy");
  }
  add_devices(domain, guest, place.console);
  add_command_line(domain, guest);
  std::ostringstream text;
  document.save(text, " ");
  return text.str();
}

}  // namespace farcall::vm
