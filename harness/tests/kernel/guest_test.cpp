#include "kernel/guest.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "bpf/codec.hpp"
#include "kernel/exchange.hpp"
#include "kernel/initramfs.hpp"
#include "tests/program.hpp"

namespace farcall::kernel::guest_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string text_of(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TEST(Initramfs, IsCpiosNewFormat) {
  const std::string init = "1234567";
  const std::vector<InitramfsFile> files = {
      {.path = "dev", .mode = S_IFDIR | 0755, .bytes = {}},
      {.path = "init", .mode = S_IFREG | 0755, .bytes = std::as_bytes(std::span(init))}};
  const std::string archive = text_of(initramfs(files));
  // As the kernel's documentation has the fields: magic, ino, mode, uid, gid, nlink, mtime, filesize,
  // maj, min, rmaj, rmin, namesize, chksum.
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

constexpr std::uint64_t kNonce = 0x1234'5678'8765'4321;

template <typename T>
void put(std::vector<std::byte>& bytes, const T& value) {
  const auto raw = std::as_bytes(std::span(&value, 1));
  bytes.insert(bytes.end(), raw.begin(), raw.end());
}

// What the agent writes of one program: two functions of two words and one, a slot, two bytes of
// context.
std::vector<std::byte> reply(std::uint64_t end_nonce = kNonce) {
  std::vector<std::byte> bytes;
  put(bytes, wire::KernelReply{wire::kReplyBegin, kNonce, 1, 0});
  put(bytes, wire::KernelAnswer{.outcome = 0,
                                .error = 0,
                                .result = 111,
                                .function_count = 2,
                                .code_bytes = 12,
                                .program_bytes = 8,
                                .context_bytes = 2,
                                .log_bytes = 0});
  put(bytes, wire::KernelFunction{0xc0080000003b7c10, 8, 0});
  put(bytes, wire::KernelFunction{0xc00800000041153c, 4, 0});
  for (const std::uint32_t word : {0xe84d0010U, 0x60000000U, 0x4e800020U}) {
    put(bytes, ul32(word));
  }
  const auto exit = bpf::encode(bpf::Slot{.opcode = 0x95}, std::endian::little);
  bytes.insert(bytes.end(), exit.begin(), exit.end());
  put(bytes, std::uint8_t{7});
  put(bytes, std::uint8_t{8});
  put(bytes, wire::KernelReply{wire::kReplyEnd, end_nonce, 1, 0});
  return bytes;
}

TEST(Exchange, AReplyIsReadAsItWasWritten) {
  const auto answers = read_reply(reply(), 1, kNonce);
  ASSERT_TRUE(answers) << answers.error().message;
  const Answer& answer = answers.value().front();
  EXPECT_EQ(answer.result, 111U);
  EXPECT_THAT(answer.functions,
              ElementsAre(JitedFunction{{0xc0080000003b7c10}, {0xe84d0010, 0x60000000}},
                          JitedFunction{{0xc00800000041153c}, {0x4e800020}}));
  EXPECT_THAT(answer.program, ElementsAre(bpf::Slot{.opcode = 0x95}));
  EXPECT_THAT(answer.context, ElementsAre(std::byte{7}, std::byte{8}));
}

TEST(Exchange, WhatIsNotTheWholeReplyToThisBatchIsNone) {
  const std::vector<std::byte> whole = reply();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const auto cut = read_reply(std::span(whole).first(size), 1, kNonce);
    ASSERT_FALSE(cut) << size;
    EXPECT_EQ(cut.error().code, ErrorCode::machine_bad_answer);
  }
  EXPECT_FALSE(read_reply(whole, 2, kNonce));
  EXPECT_FALSE(read_reply(whole, 1, kNonce + 1));
  EXPECT_FALSE(read_reply(reply(kNonce + 1), 1, kNonce));
  std::vector<std::byte> more = whole;
  more.push_back({});
  EXPECT_FALSE(read_reply(more, 1, kNonce));
}

TEST(Exchange, LengthsThatDoNotAddUpAreRefused) {
  std::vector<std::byte> bytes = reply();
  bytes[sizeof(wire::KernelReply) + 16] = std::byte{16};  // code_bytes
  const auto read = read_reply(bytes, 1, kNonce);
  ASSERT_FALSE(read);
  EXPECT_THAT(read.error().message, HasSubstr("its functions have 12 bytes, and their code 16"));
}

TEST(Exchange, ABatchHoldsEachProgramAndItsContext) {
  const std::vector<Question> questions = {
      {.slots = {{.opcode = 0x95}}, .context = {std::byte{9}}}};
  const std::string bytes = text_of(batch(questions, kNonce));
  EXPECT_EQ(bytes, std::string("tabkcraf"
                               "\x21\x43\x65\x87\x78\x56\x34\x12"
                               "\1\0\0\0"
                               "\0\0\0\0"
                               "\1\0\0\0"
                               "\1\0\0\0"
                               "\x95\0\0\0\0\0\0\0"
                               "\x09",
                               24 + 8 + 8 + 1));
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

TEST(GuestCommand, SaysCpuAndTranslation) {
  const process::Command command = guest_command("/usr/bin/qemu-system-ppc64",
                                                 {.vmlinux = "/vmlinux",
                                                  .agent = "/agent",
                                                  .cpu = model::Cpu::power8,
                                                  .mmu = model::Mmu::hash},
                                                 {.initramfs = 3, .console = 4, .terminal = 5});
  EXPECT_THAT(command.arguments, testing::IsSupersetOf({"power8", "/vmlinux", "/proc/self/fd/3"}));
  EXPECT_THAT(command.arguments.back(), HasSubstr("disable_radix"));
}

TEST(Toc, WhatIsNoKernelIsRefused) {
  const tests::ScratchFolder folder;
  EXPECT_EQ(toc_of(folder.path() / "none").error().code, ErrorCode::file_unreadable);
  EXPECT_EQ(toc_of(folder.write("short",
                                "\x7f"
                                "ELF"))
                .error()
                .code,
            ErrorCode::document_invalid);
  EXPECT_THAT(toc_of("/bin/true").error().message, HasSubstr("ELF header is another's"));
}

}  // namespace
}  // namespace farcall::kernel::guest_test
