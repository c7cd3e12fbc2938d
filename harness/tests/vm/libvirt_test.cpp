#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <regex>

#include "tests/program.hpp"
#include "tests/vm/guest.hpp"
#include "vm/domain_xml.hpp"
#include "vm/libvirt_host.hpp"

namespace farcall::vm::libvirt_test {
namespace {

using testing::HasSubstr;

// What libvirt's schema has against a document; empty: nothing.
std::string objections(const std::string& xml) {
  std::string path = (std::filesystem::temp_directory_path() / "farcall-domain-XXXXXX").string();
  ::close(::mkstemp(path.data()));
  std::ofstream(path) << xml;
  const std::string command = "virt-xml-validate " + path + " domain 2>&1";
  std::FILE* const validator = ::popen(command.c_str(), "r");
  std::array<char, 4096> words = {};
  const std::size_t count = std::fread(words.data(), 1, words.size(), validator);
  const bool is_valid = ::pclose(validator) == 0;
  std::filesystem::remove(path);
  return is_valid ? "" : "not valid: " + std::string(words.data(), count);
}

TEST(DomainXml, IsValidByLibvirtsSchema) {
  for (const MachineSpec& machine : all_machines()) {
    EXPECT_EQ(objections(domain_xml(machine, {.name = "farcall-1-1", .console = "/tmp/console"})),
              "");
  }
  for (const LinuxStart start : {LinuxStart::boots, LinuxStart::waits}) {
    EXPECT_EQ(objections(linux_domain_xml({.vmlinux = "/vmlinux", .arguments = "quiet"},
                                          {.name = "farcall-1-1",
                                           .initramfs = "/initramfs",
                                           .log = "/log",
                                           .terminal = "/terminal",
                                           .window = "farcall-1-1-window"},
                                          start)),
              "");
  }
}

// What QEMU says of the machine that it made: CPU, memory, capabilities, and of its devices what is
// like one of `devices`.
std::string portrait(RunningQemu& qemu, const std::vector<const char*>& devices) {
  const auto lines_with = [&qemu](const std::string& command, const char* pattern) {
    const std::string text = qemu.monitor(command).value();
    const std::regex wanted(pattern);
    std::vector<std::string> found;
    for (auto at = std::sregex_iterator(text.begin(), text.end(), wanted);
         at != std::sregex_iterator(); ++at) {
      found.push_back(at->str());
    }
    EXPECT_THAT(found, testing::Not(testing::IsEmpty())) << command << ": " << text;
    return found;
  };
  std::vector<std::string> all = lines_with("info hotpluggable-cpus", "type: .*cpu-core\"");
  const auto add = [&all](const std::vector<std::string>& more) {
    all.insert(all.end(), more.begin(), more.end());
  };
  add(lines_with("info memory_size_summary", "base memory: [0-9]+"));
  add(lines_with("info mtree", "[0-9a-f-]+ \\(prio 0, ram\\)"));
  for (const std::string& capability : lines_with("qom-list /machine", "cap-[a-z-]+")) {
    all.push_back(capability);
    add(lines_with("qom-get /machine " + capability, "\\S+"));
  }
  for (const char* const device : devices) {
    add(lines_with("info qtree", device));
  }
  return fmt::format("{}", fmt::join(all, "\n"));
}

std::string portrait(Host& host, const MachineSpec& machine) {
  auto started = host.start(machine);
  return started ? portrait(*started.value().qemu, {"reg = [0-9]+ \\(0x71000000\\)"})
                 : to_string(started.error());
}

// One that waits for a snapshot: that needs no kernel.
std::string portrait(Host& host, const LinuxSpec& machine) {
  auto started = host.boot(machine, {}, LinuxStart::waits);
  return started ? portrait(*started.value().qemu,
                            {"reg = [0-9]+ \\(0x71000000\\)", "reg = [0-9]+ \\(0x71000002\\)",
                             "dev: ivshmem-plain", "master = \\S+", "addr = 01.0"})
                 : to_string(started.error());
}

// One for all tests: a process can have no second embedded libvirt.
class Embedded : public testing::Test {
 protected:
  static void SetUpTestSuite() { host_ = libvirt_host("").value(); }
  static void TearDownTestSuite() { host_.reset(); }
  static Host& host() { return *host_; }

 private:
  static inline std::unique_ptr<Host> host_;
};

TEST_F(Embedded, TheGuestSeesTheSameMachineAsByTheCommandLine) {
  for (const model::Cpu cpu : {model::Cpu::power8, model::Cpu::power9, model::Cpu::power10}) {
    const MachineSpec machine = spec(model::Endian::little, cpu, model::Mmu::hash);
    EXPECT_EQ(portrait(host(), machine), portrait(direct_host(), machine));
  }
}

TEST_F(Embedded, SoDoesALinuxGuest) {
  for (const model::Cpu cpu : {model::Cpu::power8, model::Cpu::power9, model::Cpu::power10}) {
    const LinuxSpec machine{.cpu = cpu, .memory_mebibytes = 768};
    const std::string direct = portrait(direct_host(), machine);
    EXPECT_EQ(portrait(host(), machine), direct);
    EXPECT_THAT(direct, HasSubstr("base memory: 805306368"));
  }
}

// Whether a machine of this process is listed. The folder that all of them are in is another entry.
bool is_machine_listed() {
  const std::string begin = "farcall-" + std::to_string(::getpid()) + "-";
  return std::ranges::any_of(list_domains("").value(), [&begin](const FoundDomain& domain) {
    return domain.name.starts_with(begin);
  });
}

TEST_F(Embedded, RunsJobsOnEveryMachine) {
  for (const MachineSpec& which : all_machines()) {
    auto machine = Machine::start(which, host());
    ASSERT_TRUE(machine.has_value()) << to_string(machine.error());
    const std::vector jobs = {code_job({0x38600007, kBlr}, kCode, byte_order(which.endian)),
                              code_job({kLoop}, kCode, byte_order(which.endian))};
    ASSERT_TRUE(machine.value().submit(jobs).has_value());
    const auto seen = machine.value().collect();
    ASSERT_TRUE(seen.has_value()) << machine_name(which) << to_string(seen.error());
    EXPECT_EQ(seen.value().at(0).registers.gpr[3], 7U) << machine_name(which);
    EXPECT_EQ(seen.value().at(1).ending, model::Ending::out_of_budget) << machine_name(which);
    EXPECT_TRUE(is_machine_listed()) << machine_name(which);
  }
  // libvirt attends to the end of a QEMU by itself.
  EXPECT_TRUE(tests::eventually([] { return !is_machine_listed(); }));
}

TEST_F(Embedded, AQemuThatIsKilledIsNamed) {
  auto machine = Machine::start(spec(), host()).value();
  auto other = Machine::start(spec(), host()).value();
  ASSERT_GT(machine.process_id(), 0);
  ::kill(machine.process_id(), SIGKILL);
  ASSERT_TRUE(machine.submit(std::vector{code_job({kBlr})}).has_value());
  const auto seen = machine.collect();
  ASSERT_TRUE(seen.has_error());
  EXPECT_THAT(name(seen.error().code), HasSubstr("machine."));
  EXPECT_THAT(seen.error().message, HasSubstr("QEMU ended"));
  ASSERT_TRUE(other.submit(std::vector{code_job({kBlr})}).has_value());
  EXPECT_TRUE(other.collect().has_value());
}

// Beside the files of machines, an embedded libvirt has one of its own.
TEST(Libvirt, WhatIsNoMachineIsNotListed) {
  const std::filesystem::path folder =
      "/dev/shm/farcall-libvirt-" + std::to_string(::getpid()) + "-phantom";
  std::filesystem::create_directories(folder / "run/qemu");
  std::ofstream(folder / "run/qemu/driver.pid") << ::getpid();
  std::ofstream(folder / "run/qemu/farcall-1-1.pid") << 1;
  std::vector<std::string> names;
  const auto domains = list_domains("");
  for (const FoundDomain& domain : domains.value()) {
    if (domain.where.ends_with(folder.string())) {
      names.push_back(domain.name);
    }
  }
  std::filesystem::remove_all(folder);
  EXPECT_THAT(names, testing::ElementsAre("farcall-1-1"));
}

TEST(Libvirt, ADaemonThatIsNotThereIsNamed) {
  const auto libvirt = libvirt_host("qemu+unix:///system?socket=/nonexistent/socket");
  ASSERT_TRUE(libvirt.has_error());
  EXPECT_EQ(libvirt.error().code, ErrorCode::machine_libvirt);
  EXPECT_THAT(libvirt.error().message, HasSubstr("/nonexistent/socket"));
}

// Without a look at the network.
TEST(Libvirt, OneOnAnotherMachineIsRefused) {
  for (const char* const uri :
       {"qemu+ssh://somebody@host.invalid/system", "qemu://host.invalid/system"}) {
    const auto libvirt = libvirt_host(uri);
    ASSERT_TRUE(libvirt.has_error());
    EXPECT_EQ(libvirt.error().code, ErrorCode::machine_libvirt);
    EXPECT_THAT(libvirt.error().message, HasSubstr(std::string(uri) + " is on another machine"));
    EXPECT_THAT(libvirt.error().hint, HasSubstr("without --connect"));
  }
}

TEST(Libvirt, ALibvirtWithoutPseriesIsNamed) {
  const auto libvirt = libvirt_host("test:///default");
  ASSERT_TRUE(libvirt.has_value()) << to_string(libvirt.error());
  const auto machine = Machine::start(spec(), *libvirt.value());
  ASSERT_TRUE(machine.has_error());
  EXPECT_EQ(machine.error().code, ErrorCode::machine_libvirt);
  EXPECT_THAT(machine.error().message, HasSubstr("test:///default does not start a machine"));
}

}  // namespace
}  // namespace farcall::vm::libvirt_test
