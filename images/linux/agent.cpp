// The first process of a Linux guest: has the kernel load, run and describe the programs of a batch
// that comes through memory that it shares with the host, and writes there what it says; or has
// bpftool list them; or loads the modules of /selftest. See wire/kernel_batch.hpp,
// wire/kernel_listing.hpp and wire/kernel_selftest.hpp.
//
// Without a C library: it makes system calls by itself. Whatever goes wrong before there is an
// answer ends it with a line on the kernel's console, and the machine with it.
#include "linux/batch.hpp"
#include "linux/listing.hpp"
#include "linux/selftest.hpp"

// ELFv2: a program's entry finds its own address in r12.
asm(R"(
  .section .text
  .globl _start
_start:
  addis 2,12,.TOC.-_start@ha
  addi 2,2,.TOC.-_start@l
  clrrdi 1,1,4
  li 0,0
  stdu 0,-64(1)
  bl agent_main
  nop
  trap
)");

extern "C" {
// Eight bytes at a time: a guest that is emulated copies as many words a second as bytes.
struct [[gnu::packed, gnu::may_alias]] Eight {
  std::uint64_t value;
};

[[gnu::noipa]] void* memcpy(void* to, const void* from, std::size_t size) {
  auto* out = static_cast<char*>(to);
  const auto* in = static_cast<const char*>(from);
  std::size_t i = 0;
  for (; i + sizeof(Eight) <= size; i += sizeof(Eight)) {
    reinterpret_cast<Eight*>(out + i)->value = reinterpret_cast<const Eight*>(in + i)->value;
  }
  for (; i < size; ++i) {
    out[i] = in[i];
  }
  return to;
}
[[gnu::noipa]] void* memset(void* to, int value, std::size_t size) {
  constexpr std::uint64_t kEachByte = 0x0101010101010101;
  auto* out = static_cast<char*>(to);
  std::size_t i = 0;
  for (; i + sizeof(Eight) <= size; i += sizeof(Eight)) {
    reinterpret_cast<Eight*>(out + i)->value = static_cast<std::uint8_t>(value) * kEachByte;
  }
  for (; i < size; ++i) {
    out[i] = static_cast<char>(value);
  }
  return to;
}

[[noreturn]] void agent_main();
}

void agent_main() {
  using namespace farcall;
  if (system_call(__NR_mount, number("dev"), number("/dev"), number("devtmpfs"), 0, 0) < 0) {
    make_device("/dev/kmsg", 1, 11);  // a kernel without CONFIG_DEVTMPFS
    make_device("/dev/hvc1", 229, 1);
  }
  system_call(__NR_mount, number("proc"), number("/proc"), number("proc"), 0, 0);
  set("/proc/sys/net/core/bpf_jit_enable", "1", "this kernel has no JIT for BPF");
  set("/proc/sys/net/core/bpf_jit_harden", "0", "bpf_jit_harden cannot be set");
  set("/proc/sys/net/core/bpf_jit_kallsyms", "1", "bpf_jit_kallsyms cannot be set");
  set("/proc/sys/kernel/kptr_restrict", "0", "kptr_restrict cannot be set");
  if (const int selftest = open_file("/selftest", O_RDONLY); selftest >= 0) {
    run_selftest(selftest);
  }
  if (const int wanted = open_file("/listing", O_RDONLY); wanted >= 0) {
    list_programs(wanted);
  }
  const Tools tools{.window = Window::open(),
                    .log = KernelLog::open(),
                    .symbols = Symbols::make(),
                    .reader = KernelReader::make()};
  const std::size_t end = tools.window.read(batch, sizeof batch);
  std::size_t at = 0;
  wire::KernelBatch header;
  memcpy(&header, take(at, end, sizeof header), sizeof header);
  wire::KernelReply reply{.magic = wire::kReplyBegin,
                          .nonce = header.nonce,
                          .program_count = header.program_count,
                          .reserved = 0};
  tools.window.write(&reply, sizeof reply);
  auto mode = static_cast<std::uint32_t>(wire::KernelMode::jit);
  for (std::uint32_t i = 0; i < header.program_count; ++i) {
    answer_next(tools, at, end, mode);
  }
  reply.magic = wire::kReplyEnd;
  tools.window.write(&reply, sizeof reply);
  tools.window.end();
  power_off();
}
