// The first process of a Linux guest of any architecture: says on the console where __bpf_call_base
// is and where the kernel puts JITed programs, first as the kernel booted, then beside a crowd of
// other JITed code. farcall kernel distance compiles it with the cross compiler of that architecture
// and reads its lines; kernel/distance_probe.hpp says what they are.
//
// Without a C library, so that a compiler and the headers of Linux are all that it needs.
#include <asm/unistd.h>
#include <linux/bpf.h>
#include <linux/fcntl.h>
#include <linux/reboot.h>

enum {
  kPrograms = 4,              // measured at a time
  kLoads = 32768,             // in a program of the crowd: 300 KiB of code and more
  kMostCrowd = 1024,          // programs
  kCrowdBytes = 128 << 20,    // of code, unless the kernel has no place for it before
  kMostRemoved = 16,          // of the crowd again, to make room
  kNotSupported = 95,         // EOPNOTSUPP
};

typedef unsigned long Word;

#if defined(__x86_64__)
__asm__(".globl _start\n_start: and $-16, %rsp\n call probe_main\n hlt\n");
static long system_call(long which, Word a, Word b, Word c, Word d, Word e) {
  register Word r10 __asm__("r10") = d;
  register Word r8 __asm__("r8") = e;
  __asm__ volatile("syscall"
                   : "+a"(which)
                   : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                   : "rcx", "r11", "memory");
  return which;
}
#elif defined(__aarch64__)
__asm__(".globl _start\n_start: bl probe_main\n brk #0\n");
static long system_call(long which, Word a, Word b, Word c, Word d, Word e) {
  register long x8 __asm__("x8") = which;
  register Word x0 __asm__("x0") = a;
  register Word x1 __asm__("x1") = b;
  register Word x2 __asm__("x2") = c;
  register Word x3 __asm__("x3") = d;
  register Word x4 __asm__("x4") = e;
  __asm__ volatile("svc #0"
                   : "+r"(x0)
                   : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4)
                   : "memory");
  return (long)x0;
}
#elif defined(__riscv)
__asm__(
    ".globl _start\n_start:\n.option push\n.option norelax\n la gp, __global_pointer$\n.option pop\n"
    " call probe_main\n ebreak\n");
static long system_call(long which, Word a, Word b, Word c, Word d, Word e) {
  register long a7 __asm__("a7") = which;
  register Word a0 __asm__("a0") = a;
  register Word a1 __asm__("a1") = b;
  register Word a2 __asm__("a2") = c;
  register Word a3 __asm__("a3") = d;
  register Word a4 __asm__("a4") = e;
  __asm__ volatile("ecall"
                   : "+r"(a0)
                   : "r"(a7), "r"(a1), "r"(a2), "r"(a3), "r"(a4)
                   : "memory");
  return (long)a0;
}
#elif defined(__s390x__)
__asm__(".globl _start\n_start: aghi %r15, -160\n brasl %r14, probe_main\n j .\n");
static long system_call(long which, Word a, Word b, Word c, Word d, Word e) {
  register long r1 __asm__("1") = which;
  register Word r2 __asm__("2") = a;
  register Word r3 __asm__("3") = b;
  register Word r4 __asm__("4") = c;
  register Word r5 __asm__("5") = d;
  register Word r6 __asm__("6") = e;
  __asm__ volatile("svc 0"
                   : "+d"(r2)
                   : "d"(r1), "d"(r3), "d"(r4), "d"(r5), "d"(r6)
                   : "memory");
  return (long)r2;
}
#else
#error "this architecture is not known here"
#endif

void* memset(void* to, int value, Word size) {
  volatile char* const out = to;
  for (Word i = 0; i < size; ++i) {
    out[i] = (char)value;
  }
  return to;
}

static Word number(const void* pointer) {
  return (Word)pointer;
}

static Word length(const char* text) {
  Word size = 0;
  while (text[size] != '\0') {
    ++size;
  }
  return size;
}

static int open_file(const char* path, Word flags) {
  return (int)system_call(__NR_openat, (Word)AT_FDCWD, number(path), flags, 0, 0);
}

static void close_file(int file) {
  system_call(__NR_close, (Word)file, 0, 0, 0, 0);
}

static int console;

// `farcall: NAME VALUE`, the value in hex, a line of its own.
static void say(const char* name, Word value) {
  char line[96];
  Word size = 0;
  const char* const begin = "\nfarcall: ";
  for (Word i = 0; i < length(begin); ++i) {
    line[size++] = begin[i];
  }
  for (Word i = 0; i < length(name); ++i) {
    line[size++] = name[i];
  }
  line[size++] = ' ';
  for (int shift = 60; shift >= 0; shift -= 4) {
    line[size++] = "0123456789abcdef"[(value >> shift) & 15];
  }
  line[size++] = '\n';
  system_call(__NR_write, (Word)console, number(line), size, 0, 0);
}

__attribute__((noreturn)) static void end(const char* how, long error) {
  say(how, (Word)(error < 0 ? -error : error));
  system_call(__NR_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_POWER_OFF, 0,
              0);
  while (1) {
  }
}

// The result of the write, or an errno below 0.
static long set(const char* path, const char* value) {
  const int file = open_file(path, O_WRONLY);
  return file < 0 ? file
                  : system_call(__NR_write, (Word)file, number(value), length(value), 0, 0);
}

static long bpf(int command, union bpf_attr* attributes) {
  return system_call(__NR_bpf, (Word)command, number(attributes), sizeof *attributes, 0, 0);
}

// Whether the line of /proc/kallsyms is of this symbol: `ffff80001012c08c T name`.
static int is_of(const char* line, Word size, const char* name) {
  const Word wanted = length(name);
  if (size < wanted + 3 || line[size - wanted - 1] != ' ') {
    return 0;
  }
  for (Word i = 0; i < wanted; ++i) {
    if (line[size - wanted + i] != name[i]) {
      return 0;
    }
  }
  return 1;
}

static Word address_in(const char* line) {
  Word value = 0;
  for (; *line != ' '; ++line) {
    value = value << 4 | (Word)(*line <= '9' ? *line - '0' : *line - 'a' + 10);
  }
  return value;
}

// Those of them that the kernel has.
static void say_symbols(void) {
  static const char* const kNames[] = {"__bpf_call_base", "_text", "_start"};
  static char text[1 << 16];
  const int file = open_file("/proc/kallsyms", O_RDONLY);
  Word kept = 0;  // of a line that is not whole yet
  while (1) {
    const long got =
        system_call(__NR_read, (Word)file, number(text + kept), sizeof text - kept, 0, 0);
    if (got < 0) {
      end("no-symbols", got);
    }
    if (got == 0) {
      break;
    }
    const Word size = kept + (Word)got;
    Word begin = 0;
    for (Word at = kept; at < size; ++at) {
      if (text[at] != '\n') {
        continue;
      }
      for (Word i = 0; i < sizeof kNames / sizeof *kNames; ++i) {
        if (is_of(text + begin, at - begin, kNames[i])) {
          say(kNames[i], address_in(text + begin));
        }
      }
      begin = at + 1;
    }
    kept = size - begin;
    for (Word i = 0; i < kept; ++i) {
      text[i] = text[begin + i];
    }
  }
  close_file(file);
}

// A function that returns 2 after so many loads of 64 bits, as much code as an instruction can be.
static struct bpf_insn* put_function(struct bpf_insn* at, int loads) {
  for (int i = 0; i < loads; ++i) {
    *at++ = (struct bpf_insn){.code = 0x18, .dst_reg = 2, .imm = 0x12345678};  // lddw r2
    *at++ = (struct bpf_insn){.imm = 0x12345678};
  }
  *at++ = (struct bpf_insn){.code = 0xb7, .imm = 2};  // mov r0, 2
  *at++ = (struct bpf_insn){.code = 0x95};            // exit
  return at;
}

struct Loaded {
  int file;               // a descriptor, or an errno below 0
  Word code_bytes;        // of both functions
  __u64 functions[2];
};

// A program whose main calls a function with so many loads. It stays loaded until it is closed. One
// that the kernel does not JIT counts as not loaded.
static struct Loaded load(int loads) {
  static struct bpf_insn slots[2 * kLoads + 8];
  struct bpf_insn* at = slots;
  *at++ = (struct bpf_insn){.code = 0x85, .src_reg = BPF_PSEUDO_CALL, .imm = 1};
  *at++ = (struct bpf_insn){.code = 0x95};
  at = put_function(at, loads);
  union bpf_attr attributes;
  memset(&attributes, 0, sizeof attributes);
  attributes.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
  attributes.insns = number(slots);
  attributes.insn_cnt = (__u32)(at - slots);
  attributes.license = number("GPL");
  struct Loaded loaded;
  memset(&loaded, 0, sizeof loaded);
  loaded.file = (int)bpf(BPF_PROG_LOAD, &attributes);
  if (loaded.file < 0) {
    return loaded;
  }
  struct bpf_prog_info info;
  memset(&info, 0, sizeof info);
  info.jited_ksyms = number(loaded.functions);
  info.nr_jited_ksyms = 2;
  memset(&attributes, 0, sizeof attributes);
  attributes.info.bpf_fd = (__u32)loaded.file;
  attributes.info.info_len = sizeof info;
  attributes.info.info = number(&info);
  const long known = bpf(BPF_OBJ_GET_INFO_BY_FD, &attributes);
  loaded.code_bytes = info.jited_prog_len;
  if (known < 0 || info.jited_prog_len == 0 || info.nr_jited_ksyms != 2) {
    close_file(loaded.file);
    loaded.file = known < 0 ? (int)known : -kNotSupported;
  }
  return loaded;
}

static int crowd[kMostCrowd];
static int crowd_count;

static void make_crowd(void) {
  Word code_bytes = 0;
  while (code_bytes < kCrowdBytes && crowd_count < kMostCrowd) {
    const struct Loaded loaded = load(kLoads);
    if (loaded.file < 0) {
      say("refused", (Word)-loaded.file);
      break;
    }
    crowd[crowd_count++] = loaded.file;
    code_bytes += loaded.code_bytes;
  }
  say("crowd", code_bytes);
}

// Programs that are small, or as large as those of the crowd: the small ones find a place in gaps
// that the crowd has left. Where there is no place, the last ones of the crowd make room.
static void measure(int loads) {
  int removed = 0;
  for (int left = kPrograms; left != 0;) {
    const struct Loaded loaded = load(loads);
    if (loaded.file >= 0) {
      say("function", loaded.functions[0]);
      say("function", loaded.functions[1]);
      --left;
    } else if (removed == kMostRemoved || crowd_count == 0) {
      end("not-loaded", loaded.file);
    } else {
      ++removed;
      close_file(crowd[--crowd_count]);
    }
  }
}

void probe_main(void) {
  system_call(__NR_mkdirat, (Word)AT_FDCWD, number("/proc"), 0755, 0, 0);
  system_call(__NR_mount, number("dev"), number("/dev"), number("devtmpfs"), 0, 0);
  system_call(__NR_mount, number("proc"), number("/proc"), number("proc"), 0, 0);
  console = open_file("/dev/console", O_WRONLY);
  if (set("/proc/sys/net/core/bpf_jit_enable", "1") < 0) {
    end("no-jit", 0);
  }
  set("/proc/sys/kernel/kptr_restrict", "0");
  say_symbols();
  measure(0);
  make_crowd();
  measure(0);
  measure(kLoads);
  end("end", 0);
}
