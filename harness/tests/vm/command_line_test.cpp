#include "vm/command_line.hpp"

#include <gmock/gmock.h>

#include "vm/linux_command_line.hpp"

namespace farcall::vm::command_line_test {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;

std::string value_of(const std::vector<std::string>& arguments, const std::string& option) {
  for (std::size_t i = 0; i + 1 < arguments.size(); ++i) {
    if (arguments[i] == option) {
      return arguments[i + 1];
    }
  }
  return "(none)";
}

const Qemu kQemu = {.program = "/usr/bin/qemu-system-ppc64"};

const MachineSpec kSpec = {.cpu = model::Cpu::power9, .image = "/images/bare-le.bin"};

TEST(CommandLine, NamesWhatTheSpecAsksFor) {
  const auto arguments = command_line(kQemu, kSpec, {.ram = 7, .console = 8, .qmp = 9}).arguments;
  EXPECT_EQ(value_of(arguments, "-cpu"), "power9");
  EXPECT_EQ(value_of(arguments, "-bios"), "/images/bare-le.bin");
  EXPECT_THAT(value_of(arguments, "-machine"), HasSubstr("pseries"));
  EXPECT_EQ(value_of(arguments, "-m"), "256M");
  EXPECT_EQ(value_of(arguments, "-icount"), "shift=0");
  EXPECT_EQ(command_line(kQemu, kSpec, {}).program, kQemu.program);

  MachineSpec other = kSpec;
  other.cpu = model::Cpu::power10;
  EXPECT_EQ(value_of(command_line(kQemu, other, {}).arguments, "-cpu"), "power10");
}

TEST(CommandLine, PassesChannelsByNumber) {
  const auto arguments = command_line(kQemu, kSpec, {.ram = 7, .console = 8, .qmp = 9}).arguments;
  EXPECT_THAT(value_of(arguments, "-object"), HasSubstr("mem-path=/proc/self/fd/7,"));
  EXPECT_THAT(value_of(arguments, "-object"), HasSubstr("share=on"));
  EXPECT_THAT(arguments, Contains("socket,id=console,fd=8"));
  EXPECT_THAT(arguments, Contains("socket,id=qmp,fd=9"));
}

TEST(CommandLine, HasNoDevicesOrFilesOfTheHost) {
  const auto arguments = command_line(kQemu, kSpec, {}).arguments;
  EXPECT_THAT(arguments, Contains("-nodefaults"));
  EXPECT_THAT(arguments, Contains("-no-user-config"));
  EXPECT_THAT(arguments, Not(Contains("-device")));
  EXPECT_EQ(value_of(arguments, "-nic"), "none");
}

TEST(CommandLine, AsksNothingOfQemuThatItDoesNotKnow) {
  const auto leaves_out = [](bool bridge_without_connectors) {
    return command_line({kQemu.program, {bridge_without_connectors}}, kSpec, {}).arguments;
  };
  EXPECT_THAT(leaves_out(false), Not(Contains("-global")));
  EXPECT_EQ(value_of(leaves_out(true), "-global"),
            "spapr-pci-host-bridge.dynamic-reconfiguration=off");
  EXPECT_THAT(leaves_out(true), Not(Contains("-sandbox")));
}

TEST(CommandLine, LocksQemuInWhereItCan) {
  const Qemu qemu{.program = kQemu.program, .abilities = {.sandbox = true}};
  EXPECT_EQ(value_of(command_line(qemu, kSpec, {}).arguments, "-sandbox"),
            "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
}

TEST(CommandLine, ImageIsNamedAfterItsByteOrder) {
  EXPECT_EQ(image_name(model::Endian::little, model::Mmu::radix), "bare-le.bin");
  EXPECT_EQ(image_name(model::Endian::big, model::Mmu::hash), "bare-be.bin");
}

const LinuxSpec kLinux = {.cpu = model::Cpu::power8,
                          .memory_mebibytes = 512,
                          .vmlinux = "/vmlinux",
                          .arguments = "quiet"};

TEST(LinuxCommandLine, NamesWhatTheSpecAsksFor) {
  const auto arguments =
      linux_command_line({.program = kQemu.program, .abilities = {.sandbox = true}}, kLinux,
                         {.initramfs = 3, .log = 4, .terminal = 5, .window = 6, .qmp = 7},
                         LinuxStart::boots)
          .arguments;
  EXPECT_EQ(value_of(arguments, "-cpu"), "power8");
  EXPECT_EQ(value_of(arguments, "-m"), "512M");
  EXPECT_EQ(value_of(arguments, "-kernel"), "/vmlinux");
  EXPECT_EQ(value_of(arguments, "-initrd"), "/proc/self/fd/3");
  EXPECT_EQ(value_of(arguments, "-append"), "quiet");
  EXPECT_THAT(value_of(arguments, "-machine"), HasSubstr("x-vof=on"));
  EXPECT_THAT(value_of(arguments, "-object"), HasSubstr("mem-path=/proc/self/fd/6,share=on"));
  EXPECT_THAT(arguments, Contains("socket,id=terminal,fd=5"));
  EXPECT_THAT(arguments, Contains("-sandbox"));
}

TEST(LinuxCommandLine, ASnapshotBringsItsKernel) {
  const auto arguments = linux_command_line(kQemu, kLinux, {}, LinuxStart::waits).arguments;
  EXPECT_EQ(value_of(arguments, "-incoming"), "defer");
  EXPECT_THAT(arguments, Not(Contains("/vmlinux")));
}

}  // namespace
}  // namespace farcall::vm::command_line_test
