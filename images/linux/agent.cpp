// The first process of a Linux guest: has the kernel load, run and describe the programs of /batch,
// and writes what it says to the second terminal. See wire/kernel_batch.hpp.
//
// Without a C library: it makes system calls by itself. Whatever goes wrong before there is an
// answer ends it with a line on the kernel's console, and the machine with it.
#include <asm/ioctls.h>
#include <asm/termbits.h>
#include <asm/unistd.h>
#include <linux/bpf.h>
#include <linux/fcntl.h>
#include <linux/reboot.h>

#include <cstddef>
#include <cstdint>

#include "wire/kernel_batch.hpp"

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
void* memcpy(void* to, const void* from, std::size_t size) {
  auto* out = static_cast<char*>(to);
  const auto* in = static_cast<const char*>(from);
  for (std::size_t i = 0; i < size; ++i) {
    out[i] = in[i];
  }
  return to;
}
void* memset(void* to, int value, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) {
    static_cast<char*>(to)[i] = static_cast<char>(value);
  }
  return to;
}
[[noreturn]] void agent_main();
}

namespace farcall {
namespace {

using wire::KernelOutcome;

constexpr std::uint32_t kMostFunctions = 256;  // Linux's own limit for subprograms
constexpr std::size_t kMostProgramBytes = std::size_t{16} << 20;
constexpr std::size_t kMostCodeBytes = std::size_t{64} << 20;
constexpr std::size_t kMostContextBytes = 65536;
constexpr std::size_t kMostLogBytes = std::size_t{1} << 20;

char batch[kMostProgramBytes];
char code[kMostCodeBytes];
char program[kMostProgramBytes];
char context[kMostContextBytes];
char verifier_log[kMostLogBytes];
std::uint64_t addresses[kMostFunctions];
std::uint32_t lengths[kMostFunctions];

std::uint64_t number(const void* pointer) {
  return reinterpret_cast<std::uint64_t>(pointer);
}

// The result, or an errno below 0.
long system_call(long which, std::uint64_t a = 0, std::uint64_t b = 0, std::uint64_t c = 0,
                 std::uint64_t d = 0, std::uint64_t e = 0) {
  register long r0 asm("r0") = which;
  register std::uint64_t r3 asm("r3") = a;
  register std::uint64_t r4 asm("r4") = b;
  register std::uint64_t r5 asm("r5") = c;
  register std::uint64_t r6 asm("r6") = d;
  register std::uint64_t r7 asm("r7") = e;
  asm volatile("sc\n\tbns+ 1f\n\tneg %1,%1\n1:"
               : "+r"(r0), "+r"(r3), "+r"(r4), "+r"(r5), "+r"(r6), "+r"(r7)
               :
               : "cr0", "ctr", "memory", "r8", "r9", "r10", "r11", "r12");
  return static_cast<long>(r3);
}

std::size_t length(const char* text) {
  std::size_t size = 0;
  while (text[size] != '\0') {
    ++size;
  }
  return size;
}

int open_file(const char* path, std::uint64_t flags) {
  return static_cast<int>(
      system_call(__NR_openat, static_cast<std::uint64_t>(AT_FDCWD), number(path), flags, 0));
}

[[noreturn]] void power_off() {
  system_call(__NR_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_POWER_OFF);
  while (true) {
  }
}

[[noreturn]] void give_up(const char* why) {
  constexpr const char* kSaid = "<3>farcall agent: ";
  char line[128] = {};
  memcpy(line, kSaid, length(kSaid));
  memcpy(line + length(kSaid), why, length(why));
  const int log = open_file("/dev/kmsg", O_WRONLY);
  system_call(__NR_write, static_cast<std::uint64_t>(log), number(line), length(line));
  power_off();
}

void set(const char* path, const char* value, const char* what) {
  const int file = open_file(path, O_WRONLY);
  if (file < 0 ||
      system_call(__NR_write, static_cast<std::uint64_t>(file), number(value), length(value)) < 0) {
    give_up(what);
  }
  system_call(__NR_close, static_cast<std::uint64_t>(file));
}

long bpf(int command, bpf_attr& attributes) {
  return system_call(__NR_bpf, static_cast<std::uint64_t>(command), number(&attributes),
                     sizeof attributes);
}

class Terminal {
 public:
  // Bytes pass as they are.
  static Terminal open() {
    const int file = open_file("/dev/hvc1", O_RDWR | O_NOCTTY);
    termios settings;
    if (file < 0 ||
        system_call(__NR_ioctl, static_cast<std::uint64_t>(file), TCGETS, number(&settings)) < 0) {
      give_up("there is no second terminal");
    }
    settings.c_iflag = 0;
    settings.c_oflag = 0;
    settings.c_lflag = 0;
    if (system_call(__NR_ioctl, static_cast<std::uint64_t>(file), TCSETS, number(&settings)) < 0) {
      give_up("the second terminal cannot be set");
    }
    return Terminal(file);
  }

  void write(const void* bytes, std::size_t size) const {
    const char* at = static_cast<const char*>(bytes);
    while (size != 0) {
      const long written =
          system_call(__NR_write, static_cast<std::uint64_t>(file_), number(at), size);
      if (written <= 0) {
        give_up("the second terminal cannot be written");
      }
      at += written;
      size -= static_cast<std::size_t>(written);
    }
  }

  void drain() const { system_call(__NR_ioctl, static_cast<std::uint64_t>(file_), TCSBRK, 1); }

 private:
  explicit Terminal(int file) : file_(file) {}
  int file_;
};

// The file descriptor, or an errno below 0; then the verifier's words are in its log.
long load(const bpf_insn* slots, std::uint32_t count) {
  bpf_attr attributes;
  memset(&attributes, 0, sizeof attributes);
  // Of all types, this one lets a program have a context of any contents, and call no hook.
  attributes.prog_type = BPF_PROG_TYPE_SYSCALL;
  attributes.prog_flags = BPF_F_SLEEPABLE;
  attributes.insns = number(slots);
  attributes.insn_cnt = count;
  attributes.license = number("GPL");
  const long loaded = bpf(BPF_PROG_LOAD, attributes);
  if (loaded >= 0) {
    return loaded;
  }
  // Writing the log takes time: only where somebody reads it.
  verifier_log[0] = '\0';
  attributes.log_buf = number(verifier_log);
  attributes.log_size = kMostLogBytes;
  attributes.log_level = 1;
  return bpf(BPF_PROG_LOAD, attributes);
}

long run(long loaded, std::uint32_t context_bytes, std::uint32_t& result) {
  bpf_attr attributes;
  memset(&attributes, 0, sizeof attributes);
  attributes.test.prog_fd = static_cast<std::uint32_t>(loaded);
  if (context_bytes != 0) {
    attributes.test.ctx_in = number(context);
    attributes.test.ctx_size_in = context_bytes;
  }
  const long status = bpf(BPF_PROG_TEST_RUN, attributes);
  result = attributes.test.retval;
  return status;
}

long describe(long loaded, bpf_prog_info& info) {
  memset(&info, 0, sizeof info);
  info.nr_jited_ksyms = kMostFunctions;
  info.jited_ksyms = number(addresses);
  info.nr_jited_func_lens = kMostFunctions;
  info.jited_func_lens = number(lengths);
  info.jited_prog_insns = number(code);
  info.jited_prog_len = kMostCodeBytes;
  info.xlated_prog_insns = number(program);
  info.xlated_prog_len = kMostProgramBytes;
  bpf_attr attributes;
  memset(&attributes, 0, sizeof attributes);
  attributes.info.bpf_fd = static_cast<std::uint32_t>(loaded);
  attributes.info.info_len = sizeof info;
  attributes.info.info = number(&info);
  return bpf(BPF_OBJ_GET_INFO_BY_FD, attributes);
}

void answer(const Terminal& terminal, const wire::KernelProgram& wanted, const char* slots) {
  wire::KernelAnswer said = {};
  std::uint32_t result = 0;
  bpf_prog_info info = {};
  const auto say = [&](KernelOutcome outcome, long status) {
    said.outcome = static_cast<std::uint32_t>(outcome);
    said.error = static_cast<std::uint32_t>(-status);
  };
  const long loaded = load(reinterpret_cast<const bpf_insn*>(slots), wanted.slot_count);
  if (loaded < 0) {
    say(KernelOutcome::rejected, loaded);
    said.log_bytes = static_cast<std::uint32_t>(length(verifier_log));
  } else if (const long ran = run(loaded, wanted.context_bytes, result); ran < 0) {
    say(KernelOutcome::not_run, ran);
  } else if (const long known = describe(loaded, info); known < 0) {
    say(KernelOutcome::not_known, known);
  } else {
    said.result = result;
    said.function_count = info.jited_prog_len == 0 ? 0 : info.nr_jited_ksyms;
    said.code_bytes = info.jited_prog_len;
    said.program_bytes = info.xlated_prog_len;
    said.context_bytes = wanted.context_bytes;
  }
  terminal.write(&said, sizeof said);
  for (std::uint32_t i = 0; i < said.function_count; ++i) {
    const wire::KernelFunction function{
        .address = addresses[i], .code_bytes = lengths[i], .reserved = 0};
    terminal.write(&function, sizeof function);
  }
  terminal.write(code, said.code_bytes);
  terminal.write(program, said.program_bytes);
  terminal.write(context, said.context_bytes);
  terminal.write(verifier_log, said.log_bytes);
  if (loaded >= 0) {
    system_call(__NR_close, static_cast<std::uint64_t>(loaded));
  }
}

// The bytes of /batch.
std::size_t read_batch() {
  const int file = open_file("/batch", O_RDONLY);
  std::size_t size = 0;
  while (size < sizeof batch) {
    const long got = system_call(__NR_read, static_cast<std::uint64_t>(file), number(batch + size),
                                 sizeof batch - size);
    if (got <= 0) {
      break;
    }
    size += static_cast<std::size_t>(got);
  }
  return size;
}

// `size` bytes of the batch from `at` on, which goes past them.
const char* take(std::size_t& at, std::size_t end, std::size_t size) {
  if (size > end - at) {
    give_up("/batch is too short");
  }
  const char* const taken = batch + at;
  at += size;
  return taken;
}

}  // namespace
}  // namespace farcall

void agent_main() {
  using namespace farcall;
  system_call(__NR_mount, number("dev"), number("/dev"), number("devtmpfs"), 0, 0);
  system_call(__NR_mount, number("proc"), number("/proc"), number("proc"), 0, 0);
  set("/proc/sys/net/core/bpf_jit_enable", "1", "this kernel has no JIT for BPF");
  set("/proc/sys/net/core/bpf_jit_harden", "0", "bpf_jit_harden cannot be set");
  set("/proc/sys/kernel/kptr_restrict", "0", "kptr_restrict cannot be set");
  const std::size_t end = read_batch();
  std::size_t at = 0;
  wire::KernelBatch header;
  memcpy(&header, take(at, end, sizeof header), sizeof header);
  if (header.magic != wire::kKernelBatchMagic) {
    give_up("/batch is not one of farcall's");
  }
  const Terminal terminal = Terminal::open();
  wire::KernelReply reply{.magic = wire::kReplyBegin,
                          .nonce = header.nonce,
                          .program_count = header.program_count,
                          .reserved = 0};
  terminal.write(&reply, sizeof reply);
  for (std::uint32_t i = 0; i < header.program_count; ++i) {
    wire::KernelProgram wanted;
    memcpy(&wanted, take(at, end, sizeof wanted), sizeof wanted);
    const char* const slots = take(at, end, std::size_t{wanted.slot_count} * sizeof(bpf_insn));
    if (wanted.context_bytes > sizeof context) {
      give_up("a context is too large");
    }
    memcpy(context, take(at, end, wanted.context_bytes), wanted.context_bytes);
    answer(terminal, wanted, slots);
  }
  reply.magic = wire::kReplyEnd;
  terminal.write(&reply, sizeof reply);
  terminal.drain();
  power_off();
}
