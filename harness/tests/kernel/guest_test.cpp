#include "kernel/guest.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <string>
#include <vector>

#include "kernel/initramfs.hpp"
#include "kernel/linux_qemu.hpp"
#include "tests/kernel/bytes.hpp"

namespace farcall::kernel::guest_test {
namespace {

using testing::HasSubstr;
using tests::text_of;

TEST(Initramfs, IsCpiosNewFormat) {
  const std::string init = "1234567";
  const std::vector<InitramfsFile> files = {
      {.path = "dev", .mode = S_IFDIR | 0755, .bytes = {}},
      {.path = "init", .mode = S_IFREG | 0755, .bytes = std::as_bytes(std::span(init))}};
  const std::string archive = text_of(initramfs(files));
  // As the kernel's documentation has the fields: magic, ino, mode, uid, gid, nlink, mtime,
  // filesize, maj, min, rmaj, rmin, namesize, chksum.
  EXPECT_EQ(archive, std::string("070701"
                                 "00000001"
                                 "000041ed"
                                 "00000000"
                                 "00000000"
                                 "00000001"
                                 "00000000"
                                 "00000000"
                                 "00000000"
                                 "00000000"
                                 "00000000"
                                 "00000000"
                                 "00000004"
                                 "00000000"
                                 "dev\0\0\0"
                                 "070701"
                                 "00000002"
                                 "000081ed"
                                 "00000000"
                                 "00000000"
                                 "00000001"
                                 "00000000"
                                 "00000007"
                                 "00000000"
                                 "00000000"
                                 "00000000"
                                 "00000000"
                                 "00000005"
                                 "00000000"
                                 "init\0\0"
                                 "1234567\0"
                                 "070701"
                                 "00000003"
                                 "00000000"
                                 "00000000"
                                 "00000000"
                                 "00000001"
                                 "00000000"
                                 "00000000"
                                 "00000000"
                                 "00000000"
                                 "00000000"
                                 "00000000"
                                 "0000000b"
                                 "00000000"
                                 "TRAILER!!!\0\0\0\0",
                                 110 + 6 + 110 + 6 + 8 + 110 + 14));
}

TEST(KernelLog, TroubleIsFoundAndNothingElse) {
  EXPECT_EQ(trouble_in("[    0.54] WARNING: nvram corruption detected: 0-length partition\r\n"
                       "[    3.94] reboot: Power down\r\n"),
            "");
  EXPECT_EQ(trouble_in("one\r\n[    2.0] WARNING: CPU: 0 PID: 1 at arch/powerpc/net/x.c:68\r\ntwo"),
            "[    2.0] WARNING: CPU: 0 PID: 1 at arch/powerpc/net/x.c:68");
  EXPECT_EQ(trouble_in("[    2.0] Oops: Kernel access of bad area, sig: 11 [#1]"),
            "[    2.0] Oops: Kernel access of bad area, sig: 11 [#1]");
}

TEST(MachineForAGuest, SaysCpuAndTranslation) {
  const vm::LinuxSpec machine =
      machine_for({.vmlinux = "/vmlinux", .cpu = model::Cpu::power8, .mmu = model::Mmu::hash});
  EXPECT_EQ(machine.cpu, model::Cpu::power8);
  EXPECT_EQ(machine.vmlinux, "/vmlinux");
  EXPECT_THAT(machine.arguments, testing::EndsWith(" disable_radix"));
  EXPECT_THAT(machine_for({}).arguments, testing::EndsWith(" disable_radix=no"));
  EXPECT_THAT(machine_for({}).arguments, HasSubstr(" no_uaccess_flush "));  // a fifth of the time
}

}  // namespace
}  // namespace farcall::kernel::guest_test
