// The first process of a Linux guest: has the kernel load, run and describe the programs of a batch
// that comes through memory that it shares with the host, and writes there what it says; or has
// bpftool list them; or loads the modules of /selftest. See wire/kernel_batch.hpp,
// wire/kernel_listing.hpp and wire/kernel_selftest.hpp.
//
// Without a C library: it makes system calls by itself. Whatever goes wrong before there is an
// answer ends it with a line on the kernel's console, and the machine with it.
#include <asm/ioctls.h>
#include <asm/termbits.h>
#include <asm/unistd.h>
#include <linux/bpf.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/mman.h>
#include <linux/mount.h>
#include <linux/reboot.h>

#include <cstddef>
#include <cstdint>

#include "wire/kernel_batch.hpp"
#include "wire/kernel_listing.hpp"
#include "wire/kernel_selftest.hpp"

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

void* memcpy(void* to, const void* from, std::size_t size) {
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
void* memset(void* to, int value, std::size_t size) {
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

namespace farcall {
namespace {

using wire::KernelOutcome;
using wire::KernelProgramType;

constexpr std::uint32_t kMostFunctions = 256;  // Linux's own limit for subprograms
constexpr std::size_t kMostProgramBytes = std::size_t{16} << 20;
constexpr std::size_t kMostCodeBytes = std::size_t{64} << 20;
constexpr std::size_t kMostKernelLogBytes = std::size_t{1} << 20;
constexpr std::size_t kMostLogBytes = std::size_t{1} << 20;

char batch[wire::kMostBatchBytes];
char code[kMostCodeBytes];
char program[kMostProgramBytes];
bpf_insn slots[kMostProgramBytes / sizeof(bpf_insn)];
bpf_line_info lines[kMostProgramBytes / sizeof(bpf_insn)];
std::uint64_t line_addresses[kMostProgramBytes / sizeof(bpf_insn)];
char listing[1 << 16];
char verifier_log[kMostLogBytes];
char kernel_log[kMostKernelLogBytes];
std::uint64_t addresses[kMostFunctions];
std::uint32_t lengths[kMostFunctions];

std::uint64_t number(const void* pointer) {
  return reinterpret_cast<std::uint64_t>(pointer);
}

// The result, or an errno below 0.
long system_call(long which, std::uint64_t a = 0, std::uint64_t b = 0, std::uint64_t c = 0,
                 std::uint64_t d = 0, std::uint64_t e = 0, std::uint64_t f = 0) {
  register long r0 asm("r0") = which;
  register std::uint64_t r3 asm("r3") = a;
  register std::uint64_t r4 asm("r4") = b;
  register std::uint64_t r5 asm("r5") = c;
  register std::uint64_t r6 asm("r6") = d;
  register std::uint64_t r7 asm("r7") = e;
  register std::uint64_t r8 asm("r8") = f;
  asm volatile("sc\n\tbns+ 1f\n\tneg %1,%1\n1:"
               : "+r"(r0), "+r"(r3), "+r"(r4), "+r"(r5), "+r"(r6), "+r"(r7), "+r"(r8)
               :
               : "cr0", "ctr", "memory", "r9", "r10", "r11", "r12");
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

void close_file(long file) {
  system_call(__NR_close, static_cast<std::uint64_t>(file));
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

void make_folder(const char* path) {
  system_call(__NR_mkdirat, static_cast<std::uint64_t>(AT_FDCWD), number(path), 0755);
}

long bpf(int command, bpf_attr& attributes) {
  return system_call(__NR_bpf, static_cast<std::uint64_t>(command), number(&attributes),
                     sizeof attributes);
}

// The second terminal, for bytes that say whose turn it is.
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

  void call(wire::WindowCall what) const {
    const auto byte = static_cast<std::uint8_t>(what);
    if (system_call(__NR_write, static_cast<std::uint64_t>(file_), number(&byte), 1) != 1) {
      give_up("the second terminal cannot be written");
    }
    if (what == wire::WindowCall::end) {
      system_call(__NR_ioctl, static_cast<std::uint64_t>(file_), TCSBRK, 1);  // it is out
      return;
    }
    std::uint8_t answer = 0;
    if (system_call(__NR_read, static_cast<std::uint64_t>(file_), number(&answer), 1) != 1 ||
        answer != wire::kGoOn) {
      give_up("the second terminal says something else than to go on");
    }
  }

 private:
  explicit Terminal(int file) : file_(file) {}
  int file_;
};

// What goes to the host and comes from it: through its memory, which a device of PCI shows.
class Window {
 public:
  static Window open() {
    make_folder("/sys");
    system_call(__NR_mount, number("sys"), number("/sys"), number("sysfs"), 0, 0);
    set("/sys/bus/pci/devices/0000:00:01.0/enable", "1", "there is no memory shared with the host");
    const int file = open_file("/sys/bus/pci/devices/0000:00:01.0/resource2", O_RDWR);
    const long mapped = system_call(__NR_mmap, 0, wire::kWindowBytes, PROT_READ | PROT_WRITE,
                                    MAP_SHARED, static_cast<std::uint64_t>(file));
    if (file < 0 || (mapped < 0 && mapped >= -4095)) {
      give_up("the memory shared with the host cannot be mapped");
    }
    return {Terminal::open(), reinterpret_cast<char*>(mapped)};
  }

  void write(const void* bytes, std::size_t size) const {
    const char* at = static_cast<const char*>(bytes);
    while (size != 0) {
      const std::size_t used = header().reply_bytes;
      const std::size_t room = wire::kPieceBytes - used;
      const std::size_t part = size < room ? size : room;
      memcpy(piece() + used, at, part);
      set_reply_bytes(used + part);
      at += part;
      size -= part;
      if (used + part == wire::kPieceBytes) {
        terminal_.call(wire::WindowCall::take);
      }
    }
  }

  // A whole batch, and how many bytes that is.
  std::size_t read(char* bytes, std::size_t most) const {
    std::size_t size = 0;
    std::size_t wanted = sizeof(wire::KernelBatch);
    while (size < wanted) {
      terminal_.call(wire::WindowCall::give);
      const std::size_t part = header().batch_bytes;
      if (part > most - size || part > wire::kPieceBytes) {
        give_up("the batch is too large");
      }
      memcpy(bytes + size, piece(), part);
      size += part;
      wire::KernelBatch begin;
      memcpy(&begin, bytes, sizeof begin);
      if (size < sizeof begin || begin.magic != wire::kKernelBatchMagic ||
          begin.byte_count > most) {
        give_up("the batch is not one of farcall's");
      }
      wanted = begin.byte_count;
    }
    return size;
  }

  void end() const { terminal_.call(wire::WindowCall::end); }

 private:
  Window(const Terminal& terminal, char* begin) : terminal_(terminal), begin_(begin) {}

  wire::KernelWindow header() const {
    asm volatile("" ::: "memory");  // the host writes it
    wire::KernelWindow now;
    memcpy(&now, begin_, sizeof now);
    return now;
  }
  void set_reply_bytes(std::size_t count) const {
    asm volatile("sync" ::: "memory");  // the piece first
    const wire::KernelWindow now{.batch_bytes = 0,
                                 .reply_bytes = static_cast<std::uint32_t>(count)};
    memcpy(begin_, &now, sizeof now);
    asm volatile("" ::: "memory");
  }
  char* piece() const { return begin_ + sizeof(wire::KernelWindow); }

  Terminal terminal_;
  char* begin_;
};

// What the kernel has logged since the last time.
class KernelLog {
 public:
  static KernelLog open() {
    const int file = open_file("/dev/kmsg", O_RDONLY | O_NONBLOCK);
    if (file < 0 ||
        system_call(__NR_lseek, static_cast<std::uint64_t>(file), 0, 2 /* SEEK_END */) < 0) {
      give_up("the kernel's log cannot be read");
    }
    return KernelLog(file);
  }

  // Into kernel_log; how many bytes.
  std::uint32_t read() const {
    std::size_t size = 0;
    while (true) {
      if (sizeof kernel_log - size < 8192) {  // the largest record
        give_up("the kernel logs too much");
      }
      const long got = system_call(__NR_read, static_cast<std::uint64_t>(file_),
                                   number(kernel_log + size), sizeof kernel_log - size);
      if (got == -EAGAIN) {
        return static_cast<std::uint32_t>(size);
      }
      if (got <= 0) {  // -EPIPE: records were overwritten before they were read
        give_up("the kernel's log cannot be read");
      }
      size += static_cast<std::size_t>(got);
    }
  }

 private:
  explicit KernelLog(int file) : file_(file) {}
  int file_;
};

// Of a program; without BTF, all are 0. The kernel reads the others from these addresses.
struct Types {
  long btf = -1;
  const char* functions = nullptr;
  std::uint32_t function_count = 0;
  const char* lines = nullptr;
  std::uint32_t line_count = 0;
};

// The file descriptor, or an errno below 0; then the verifier's words are in its log.
long load(const bpf_insn* program_slots, std::uint32_t count, const Types& types = {},
          KernelProgramType type = KernelProgramType::syscall) {
  bpf_attr attributes;
  memset(&attributes, 0, sizeof attributes);
  if (type == KernelProgramType::syscall) {
    attributes.prog_type = BPF_PROG_TYPE_SYSCALL;
    attributes.prog_flags = BPF_F_SLEEPABLE;
  } else {
    attributes.prog_type = BPF_PROG_TYPE_RAW_TRACEPOINT;
  }
  attributes.insns = number(program_slots);
  attributes.insn_cnt = count;
  attributes.license = number("GPL");
  memcpy(attributes.prog_name, "main", 4);
  if (types.btf >= 0) {
    attributes.prog_btf_fd = static_cast<std::uint32_t>(types.btf);
    attributes.func_info_rec_size = sizeof(wire::KernelFunctionType);
    attributes.func_info = number(types.functions);
    attributes.func_info_cnt = types.function_count;
    attributes.line_info_rec_size = sizeof(wire::KernelSourceLine);
    attributes.line_info = number(types.lines);
    attributes.line_info_cnt = types.line_count;
  }
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

long run(long loaded, std::uint32_t& result) {
  bpf_attr attributes;
  memset(&attributes, 0, sizeof attributes);
  attributes.test.prog_fd = static_cast<std::uint32_t>(loaded);
  const long status = bpf(BPF_PROG_TEST_RUN, attributes);
  result = attributes.test.retval;
  return status;
}

// An array of one value, an errno below 0 if the kernel has none.
long make_map(std::uint32_t byte_count, std::uint32_t flags) {
  bpf_attr attributes;
  memset(&attributes, 0, sizeof attributes);
  attributes.map_type = BPF_MAP_TYPE_ARRAY;
  attributes.key_size = 4;
  attributes.value_size = byte_count;
  attributes.max_entries = 1;
  attributes.map_flags = flags;
  return bpf(BPF_MAP_CREATE, attributes);
}

long set_value(long map, const void* value) {
  const std::uint32_t key = 0;
  bpf_attr attributes;
  memset(&attributes, 0, sizeof attributes);
  attributes.map_fd = static_cast<std::uint32_t>(map);
  attributes.key = number(&key);
  attributes.value = number(value);
  return bpf(BPF_MAP_UPDATE_ELEM, attributes);
}

// An array of one value that lies in pages of its own, which are the agent's, too: it is read without
// a system call, and written without one unless it is read-only.
struct Memory {
  long map = -1;  // an errno below 0, if there is none
  char* bytes = nullptr;
  std::uint32_t size = 0;
  bool read_only = false;     // for programs
  std::uint64_t address = 0;  // for programs; 0: not known yet
  bool is_in_use = false;
};

Memory make_memory(std::uint32_t size, bool read_only) {
  const std::uint32_t flags = BPF_F_MMAPABLE | (read_only ? std::uint32_t{BPF_F_RDONLY_PROG} : 0U);
  const long map = make_map(size, flags);
  if (map < 0) {
    return {.map = map};
  }
  // What programs may not write, nobody may have mapped for that.
  const std::uint64_t protection = PROT_READ | (read_only ? 0U : std::uint64_t{PROT_WRITE});
  const long mapped =
      system_call(__NR_mmap, 0, size, protection, MAP_SHARED, static_cast<std::uint64_t>(map));
  if (mapped < 0 && mapped >= -4095) {
    give_up("the memory of a map cannot be mapped");
  }
  return {
      .map = map, .bytes = reinterpret_cast<char*>(mapped), .size = size, .read_only = read_only};
}

void write(const Memory& memory, const char* bytes) {
  if (!memory.read_only) {
    memcpy(memory.bytes, bytes, memory.size);
  } else if (set_value(memory.map, bytes) < 0) {
    give_up("a region cannot be written");
  }
}

void remove(Memory& memory) {
  if (memory.map >= 0) {
    system_call(__NR_munmap, number(memory.bytes), memory.size);
    close_file(memory.map);
  }
  memory = {};
}

// What programs had before is had again: to make a map, and to find out where its value is, takes as
// long as a program.
Memory memories[wire::kMostKernelRegions];

// One that no other region of this program has, in use from now on.
Memory& take_memory(std::uint32_t size, bool read_only) {
  Memory* unused = nullptr;
  for (Memory& memory : memories) {
    if (memory.is_in_use) {
      continue;
    }
    if (memory.map >= 0 && memory.size == size && memory.read_only == read_only) {
      memory.is_in_use = true;
      return memory;
    }
    if (unused == nullptr || unused->map >= 0) {
      unused = &memory;
    }
  }
  remove(*unused);  // a program has no more regions than there are memories
  *unused = make_memory(size, read_only);
  unused->is_in_use = true;
  return *unused;
}

constexpr std::uint8_t kLoad64 = 0x18;

bpf_insn* put_map_value(bpf_insn* at, std::uint8_t to, long map, std::int32_t offset) {
  at[0] = {.code = kLoad64,
           .dst_reg = static_cast<std::uint8_t>(to & 15U),
           .src_reg = BPF_PSEUDO_MAP_VALUE,
           .off = 0,
           .imm = static_cast<std::int32_t>(map)};
  at[1] = {.code = 0, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = offset};
  return at + 2;
}

bpf_insn* put_end(bpf_insn* at) {
  at[0] = {.code = 0xb7, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0};  // mov r0, 0
  at[1] = {.code = 0x95, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0};  // exit
  return at + 2;
}

// Where the values of maps are that have just been made: a program stores their addresses.
void find_values(Memory* const* found, std::uint32_t count) {
  Memory table = make_memory(8 * wire::kMostKernelRegions, false);
  bpf_insn probe[4 * wire::kMostKernelRegions + 4];
  bpf_insn* at = put_map_value(probe, 1, table.map, 0);
  for (std::uint32_t i = 0; i < count; ++i) {
    at = put_map_value(at, 2, found[i]->map, 0);
    *at++ = {.code = 0x7b,
             .dst_reg = 1,
             .src_reg = 2,  // stxdw [r1 + 8 i], r2
             .off = static_cast<std::int16_t>(8 * i),
             .imm = 0};
  }
  at = put_end(at);
  const long loaded = load(probe, static_cast<std::uint32_t>(at - probe));
  std::uint32_t result = 0;
  if (table.map < 0 || loaded < 0 || run(loaded, result) < 0) {
    give_up("the addresses of maps cannot be found");
  }
  for (std::uint32_t i = 0; i < count; ++i) {
    memcpy(&found[i]->address, table.bytes + std::size_t{8} * i, 8);
  }
  close_file(loaded);
  remove(table);
}

// What the kernel calls an address, by the helper snprintf: /proc/kallsyms would take seconds.
class Symbols {
 public:
  static Symbols make() {
    constexpr const char* kFormat = "%ps";
    const long format = make_map(8, BPF_F_RDONLY_PROG);
    char text[8] = {};
    memcpy(text, kFormat, length(kFormat));
    bpf_attr freeze;
    memset(&freeze, 0, sizeof freeze);
    freeze.map_fd = static_cast<std::uint32_t>(format);
    if (format < 0 || set_value(format, text) < 0 || bpf(BPF_MAP_FREEZE, freeze) < 0) {
      give_up("the map of a format cannot be made");
    }
    const Memory values = make_memory(kAtOnce * sizeof(Asked), false);
    constexpr std::size_t kRowSlots = 11;
    bpf_insn ask[kAtOnce * kRowSlots + 2];
    bpf_insn* at = ask;
    for (std::uint32_t i = 0; i < kAtOnce; ++i) {
      const std::size_t row = i * sizeof(Asked);
      const auto rest = static_cast<std::int16_t>((kAtOnce - i) * kRowSlots - 4);
      at = put_map_value(at, 4, values.map,
                         static_cast<std::int32_t>(row + offsetof(Asked, address)));
      *at++ = {.code = 0x79, .dst_reg = 0, .src_reg = 4, .off = 0, .imm = 0};     // ldxdw r0, [r4]
      *at++ = {.code = 0x15, .dst_reg = 0, .src_reg = 0, .off = rest, .imm = 0};  // jeq r0, 0, end
      at = put_map_value(at, 1, values.map,
                         static_cast<std::int32_t>(row + offsetof(Asked, symbol)));
      *at++ = {.code = 0xb7, .dst_reg = 2, .src_reg = 0, .off = 0, .imm = wire::kKernelSymbolBytes};
      at = put_map_value(at, 3, format, 0);
      *at++ = {.code = 0xb7, .dst_reg = 5, .src_reg = 0, .off = 0, .imm = 8};
      *at++ = {.code = 0x85, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = BPF_FUNC_snprintf};
    }
    at = put_end(at);
    const long loaded = load(ask, static_cast<std::uint32_t>(at - ask));
    if (values.map < 0 || loaded < 0) {
      give_up("the program for symbols cannot be loaded");
    }
    return Symbols(loaded, reinterpret_cast<Asked*>(values.bytes));
  }

  // At most kAtOnce.
  void ask(const std::uint64_t* asked_about, std::uint32_t count) const {
    memset(asked_, 0, kAtOnce * sizeof *asked_);
    for (std::uint32_t i = 0; i < count; ++i) {
      asked_[i].address = asked_about[i];
    }
    std::uint32_t result = 0;
    if (run(loaded_, result) < 0) {
      give_up("symbols cannot be asked for");
    }
  }
  // Of the i-th address that was asked about.
  void copy(std::uint32_t i, char* symbol) const {
    memcpy(symbol, asked_[i].symbol, wire::kKernelSymbolBytes - 1);
  }

  static constexpr std::uint32_t kAtOnce = 8;

 private:
  struct Asked {
    std::uint64_t address;
    char symbol[wire::kKernelSymbolBytes];
  };
  Symbols(long loaded, Asked* asked) : loaded_(loaded), asked_(asked) {}
  long loaded_;
  Asked* asked_;  // the program's memory
};

std::uint64_t hexadecimal(const char* text, std::size_t size) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < size; ++i) {
    const char digit = text[i];
    value = value * 16 + static_cast<std::uint64_t>(digit <= '9' ? digit - '0' : digit - 'a' + 10);
  }
  return value;
}

// What /proc/kallsyms, which is what tools read, has at an address; nothing, if it has nothing.
// Lines are `c000000000000000 T _stext`, maybe with a module after a tab. Takes 2 s.
void listed_symbol(std::uint64_t address, char* symbol) {
  constexpr std::size_t kAddress = 16;
  constexpr std::size_t kName = kAddress + 3;
  const int file = open_file("/proc/kallsyms", O_RDONLY);
  char line[256];
  std::size_t size = 0;
  while (true) {
    const long got =
        system_call(__NR_read, static_cast<std::uint64_t>(file), number(listing), sizeof listing);
    if (got < 0) {
      give_up("/proc/kallsyms cannot be read");
    }
    if (got == 0) {
      break;
    }
    for (long i = 0; i < got; ++i) {
      if (listing[i] != '\n') {
        if (size < sizeof line) {
          line[size++] = listing[i];
        }
        continue;
      }
      if (size > kName && hexadecimal(line, kAddress) == address) {
        for (std::size_t at = kName;
             at < size && line[at] != '\t' && at - kName < wire::kKernelSymbolBytes - 1; ++at) {
          symbol[at - kName] = line[at];
        }
      }
      size = 0;
    }
  }
  close_file(file);
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
  info.nr_line_info = sizeof lines / sizeof lines[0];
  info.line_info = number(lines);
  info.line_info_rec_size = sizeof lines[0];
  info.nr_jited_line_info = sizeof line_addresses / sizeof line_addresses[0];
  info.jited_line_info = number(line_addresses);
  info.jited_line_info_rec_size = sizeof line_addresses[0];
  bpf_attr attributes;
  memset(&attributes, 0, sizeof attributes);
  attributes.info.bpf_fd = static_cast<std::uint32_t>(loaded);
  attributes.info.info_len = sizeof info;
  attributes.info.info = number(&info);
  return bpf(BPF_OBJ_GET_INFO_BY_FD, attributes);
}

// Programs and whatever else the agent needs of the guest.
struct Tools {
  Window window;
  KernelLog log;
  Symbols symbols;
};

struct Regions {
  std::uint32_t count = 0;
  Memory* all[wire::kMostKernelRegions] = {};
};

// The loads that name a region name its map.
void name_maps(std::uint32_t slot_count, const Regions& regions) {
  for (std::uint32_t i = 0; i < slot_count; ++i) {
    if (slots[i].code != kLoad64) {
      continue;
    }
    if (slots[i].src_reg == BPF_PSEUDO_MAP_VALUE) {
      const auto region_number = static_cast<std::uint32_t>(slots[i].imm);
      if (region_number >= regions.count) {
        give_up("a program names a region that it does not have");
      }
      slots[i].imm = static_cast<std::int32_t>(regions.all[region_number]->map);
    }
    ++i;
  }
}

// What describe() has found of a program.
void count_parts(const bpf_prog_info& info, wire::KernelAnswer& said) {
  said.function_count = info.jited_prog_len == 0 ? 0 : info.nr_jited_ksyms;
  said.code_bytes = info.jited_prog_len;
  said.program_bytes = info.xlated_prog_len;
  // Both tables have the same rows, or one of them is not told.
  said.line_count = info.nr_line_info == info.nr_jited_line_info ? info.nr_line_info : 0;
}

void write_answer(const Tools& tools, wire::KernelAnswer& said, const Regions& regions,
                  bool as_listed) {
  const Window& window = tools.window;
  said.kernel_log_bytes = tools.log.read();
  window.write(&said, sizeof said);
  for (std::uint32_t i = 0; i < said.function_count; ++i) {
    wire::KernelFunction function{
        .address = addresses[i], .code_bytes = lengths[i], .reserved = 0, .symbol = {}};
    if (as_listed) {
      listed_symbol(addresses[i], function.symbol);
    } else {
      constexpr std::uint32_t kAtOnce = Symbols::kAtOnce;
      if (i % kAtOnce == 0) {
        const std::uint32_t left = said.function_count - i;
        tools.symbols.ask(addresses + i, left < kAtOnce ? left : kAtOnce);
      }
      tools.symbols.copy(i % kAtOnce, function.symbol);
    }
    window.write(&function, sizeof function);
  }
  window.write(code, said.code_bytes);
  window.write(program, said.program_bytes);
  for (std::uint32_t i = 0; i < said.line_count; ++i) {
    const wire::KernelLine line{
        .address = line_addresses[i], .slot = lines[i].insn_off, .reserved = 0};
    window.write(&line, sizeof line);
  }
  for (std::uint32_t i = 0; i < said.region_count; ++i) {
    const Memory& memory = *regions.all[i];
    const wire::KernelRegionAfter after{
        .address = memory.address, .byte_count = memory.size, .reserved = 0};
    window.write(&after, sizeof after);
    window.write(memory.bytes, memory.size);
  }
  window.write(verifier_log, said.log_bytes);
  window.write(kernel_log, said.kernel_log_bytes);
}

void answer(const Tools& tools, std::uint32_t slot_count, const Regions& regions,
            const Types& types, KernelProgramType type, bool as_listed, long no_memory) {
  wire::KernelAnswer said = {};
  std::uint32_t result = 0;
  bpf_prog_info info = {};
  const auto say = [&](KernelOutcome outcome, long status) {
    said.outcome = static_cast<std::uint32_t>(outcome);
    said.error = static_cast<std::uint32_t>(-status);
  };
  long loaded = -1;
  if (no_memory < 0) {
    say(KernelOutcome::no_memory, no_memory);
  } else if (loaded = load(slots, slot_count, types, type); loaded < 0) {
    say(KernelOutcome::rejected, loaded);
    said.log_bytes = static_cast<std::uint32_t>(length(verifier_log));
  } else if (const long ran = run(loaded, result); ran < 0) {
    say(KernelOutcome::not_run, ran);
  } else if (const long known = describe(loaded, info); known < 0) {
    say(KernelOutcome::not_known, known);
  } else {
    said.result = result;
    count_parts(info, said);
    said.region_count = regions.count;
  }
  write_answer(tools, said, regions, as_listed);
  if (loaded >= 0) {
    close_file(loaded);
  }
}

void switch_jit(std::uint32_t mode) {
  const bool jit = mode != static_cast<std::uint32_t>(wire::KernelMode::interpreter);
  const bool hardened = mode == static_cast<std::uint32_t>(wire::KernelMode::hardened);
  set("/proc/sys/net/core/bpf_jit_enable", jit ? "1" : "0", "the JIT cannot be switched");
  set("/proc/sys/net/core/bpf_jit_harden", hardened ? "2" : "0", "bpf_jit_harden cannot be set");
}

// The modules' own tests run while they are loaded.
[[noreturn]] void run_selftest(int file) {
  wire::KernelSelftest wanted;
  if (system_call(__NR_read, static_cast<std::uint64_t>(file), number(&wanted), sizeof wanted) !=
          sizeof wanted ||
      wanted.magic != wire::kSelftestMagic || wanted.module_count > 10) {
    give_up("/selftest is not one of farcall's");
  }
  switch_jit(wanted.mode);
  const Window window = Window::open();
  wire::KernelSelftestReply reply{
      .magic = wire::kSelftestBegins, .nonce = wanted.nonce, .loaded_count = 0, .error = 0};
  window.write(&reply, sizeof reply);
  std::uint32_t loaded = 0;
  long status = 0;
  for (; loaded < wanted.module_count; ++loaded) {
    char path[] = "/module0";
    path[7] = static_cast<char>('0' + loaded);
    const int module = open_file(path, O_RDONLY);
    const bool is_last = loaded + 1 == wanted.module_count;
    status = system_call(__NR_finit_module, static_cast<std::uint64_t>(module),
                         number(is_last ? wanted.parameters : ""), 0);
    if (status != 0) {
      break;
    }
  }
  reply.magic = wire::kSelftestEnds;
  reply.loaded_count = loaded;
  reply.error = static_cast<std::uint32_t>(-status);
  window.write(&reply, sizeof reply);
  window.end();
  power_off();
}

// `size` bytes of the batch from `at` on, which goes past them.
const char* take(std::size_t& at, std::size_t end, std::size_t size) {
  if (size > end - at) {
    give_up("a batch is too short");
  }
  const char* const taken = batch + at;
  at += size;
  return taken;
}

Types take_types(std::size_t& at, std::size_t end, const wire::KernelProgram& wanted) {
  const char* const btf = take(at, end, wanted.btf_bytes);
  Types types{
      .functions =
          take(at, end, std::size_t{wanted.function_type_count} * sizeof(wire::KernelFunctionType)),
      .function_count = wanted.function_type_count,
      .lines = take(at, end, std::size_t{wanted.line_count} * sizeof(wire::KernelSourceLine)),
      .line_count = wanted.line_count};
  if (wanted.btf_bytes != 0) {
    bpf_attr attributes;
    memset(&attributes, 0, sizeof attributes);
    attributes.btf = number(btf);
    attributes.btf_size = wanted.btf_bytes;
    types.btf = bpf(BPF_BTF_LOAD, attributes);
    if (types.btf < 0) {
      give_up("the BTF of a program is refused");
    }
  }
  return types;
}

// The program at `at` of the batch, which goes past it.
void answer_next(const Tools& tools, std::size_t& at, std::size_t end, std::uint32_t& mode) {
  wire::KernelProgram wanted;
  memcpy(&wanted, take(at, end, sizeof wanted), sizeof wanted);
  const std::size_t slot_bytes = std::size_t{wanted.slot_count} * sizeof(bpf_insn);
  if (slot_bytes > sizeof slots || wanted.region_count > wire::kMostKernelRegions ||
      wanted.crowd_mebibytes > wire::kMostCrowdMebibytes) {
    give_up("a program is too large");
  }
  long crowd[wire::kMostCrowdMebibytes];
  for (std::uint32_t i = 0; i < wanted.crowd_mebibytes; ++i) {
    crowd[i] = make_map(std::uint32_t{1} << 20, BPF_F_MMAPABLE);
    if (crowd[i] < 0) {
      give_up("there is not enough memory for the other maps");
    }
  }
  memcpy(slots, take(at, end, slot_bytes), slot_bytes);
  const Types types = take_types(at, end, wanted);
  Regions regions;
  Memory* not_found[wire::kMostKernelRegions];
  std::uint32_t not_found_count = 0;
  long status = 0;
  for (std::uint32_t i = 0; i < wanted.region_count; ++i) {
    wire::KernelRegion one;
    memcpy(&one, take(at, end, sizeof one), sizeof one);
    const char* const bytes = take(at, end, one.byte_count);
    if (one.byte_count > wire::kMostKernelRegionBytes) {
      give_up("a region is too large");
    }
    Memory& memory = take_memory(one.byte_count, one.read_only != 0);
    regions.all[regions.count++] = &memory;
    if (memory.map < 0) {
      status = memory.map;
      continue;
    }
    write(memory, bytes);
    if (memory.address == 0) {
      not_found[not_found_count++] = &memory;
    }
  }
  if (status == 0 && not_found_count != 0) {
    find_values(not_found, not_found_count);
  }
  if (status == 0) {
    name_maps(wanted.slot_count, regions);
  }
  if (wanted.mode != mode) {
    mode = wanted.mode;
    switch_jit(mode);
  }
  answer(tools, wanted.slot_count, regions, types,
         static_cast<KernelProgramType>(std::uint32_t{wanted.type}), wanted.as_listed != 0, status);
  if (types.btf >= 0) {
    close_file(types.btf);
  }
  for (std::uint32_t i = 0; i < regions.count; ++i) {
    regions.all[i]->is_in_use = false;
  }
  for (std::uint32_t i = 0; i < wanted.crowd_mebibytes; ++i) {
    close_file(crowd[i]);
  }
}

// Runs /bpftool with these words; what it writes is in the file /output afterwards. Its status, as
// wait() has it.
std::uint32_t run_bpftool(const char* const* words) {
  const char* arguments[wire::kMostListingWords + 2] = {"/bpftool"};
  for (std::size_t i = 0; i < wire::kMostListingWords && words[i] != nullptr; ++i) {
    arguments[i + 1] = words[i];
  }
  constexpr std::uint64_t kSigchld = 17;
  const long child = system_call(__NR_clone, kSigchld);
  if (child == 0) {
    const char* const environment[] = {nullptr};
    const int output = open_file("/output", O_WRONLY | O_CREAT | O_TRUNC);
    for (std::uint64_t standard = 1; standard <= 2; ++standard) {
      system_call(__NR_dup2, static_cast<std::uint64_t>(output), standard);
    }
    system_call(__NR_execve, number("/bpftool"), number(arguments), number(environment));
    system_call(__NR_exit_group, 127);
  }
  std::uint32_t status = 0;
  if (child < 0 ||
      system_call(__NR_wait4, static_cast<std::uint64_t>(child), number(&status)) < 0) {
    give_up("bpftool cannot be started");
  }
  return status;
}

void write_output(const Window& window, std::uint32_t status) {
  const int file = open_file("/output", O_RDONLY);
  const long size = system_call(__NR_lseek, static_cast<std::uint64_t>(file), 0, 2 /* SEEK_END */);
  if (file < 0 || size < 0 ||
      system_call(__NR_lseek, static_cast<std::uint64_t>(file), 0, 0 /* SEEK_SET */) < 0) {
    give_up("what bpftool wrote cannot be read");
  }
  const wire::KernelToolOutput output{.status = status,
                                      .byte_count = static_cast<std::uint32_t>(size)};
  window.write(&output, sizeof output);
  for (long left = size; left > 0;) {
    const long got =
        system_call(__NR_read, static_cast<std::uint64_t>(file), number(listing), sizeof listing);
    if (got <= 0 || got > left) {
      give_up("what bpftool wrote cannot be read");
    }
    window.write(listing, static_cast<std::size_t>(got));
    left -= got;
  }
  close_file(file);
}

bool has_bpf(const char* line, std::size_t size) {
  for (std::size_t i = 0; i + 3 <= size; ++i) {
    if (line[i] == 'b' && line[i + 1] == 'p' && line[i + 2] == 'f') {
      return true;
    }
  }
  return false;
}

// Puts a copy in place of /proc/kallsyms with its lines that have `bpf` in them: bpftool reads it
// once for each program, and all of it would take seconds each time. It looks symbols up by their
// exact address, so that it misses none of BPF's.
void shorten_kallsyms() {
  const int from = open_file("/proc/kallsyms", O_RDONLY);
  const long to = system_call(__NR_openat, static_cast<std::uint64_t>(AT_FDCWD),
                              number("/kallsyms"), O_WRONLY | O_CREAT | O_TRUNC, 0444);
  char line[512];
  std::size_t size = 0;
  while (true) {
    const long got =
        system_call(__NR_read, static_cast<std::uint64_t>(from), number(listing), sizeof listing);
    if (got < 0 || to < 0) {
      give_up("/proc/kallsyms cannot be copied");
    }
    if (got == 0) {
      break;
    }
    for (long i = 0; i < got; ++i) {
      if (size == sizeof line) {
        give_up("/proc/kallsyms has too long a line");
      }
      line[size++] = listing[i];
      if (listing[i] == '\n') {
        if (has_bpf(line, size) &&
            system_call(__NR_write, static_cast<std::uint64_t>(to), number(line), size) < 0) {
          give_up("/proc/kallsyms cannot be copied");
        }
        size = 0;
      }
    }
  }
  close_file(from);
  close_file(to);
  if (system_call(__NR_mount, number("/kallsyms"), number("/proc/kallsyms"), 0, MS_BIND, 0) < 0) {
    give_up("/proc/kallsyms cannot be replaced");
  }
}

// Loads the program at `at` of the batch, which goes past it.
long load_next(std::size_t& at, std::size_t end) {
  wire::KernelProgram wanted;
  memcpy(&wanted, take(at, end, sizeof wanted), sizeof wanted);
  const std::size_t slot_bytes = std::size_t{wanted.slot_count} * sizeof(bpf_insn);
  if (slot_bytes > sizeof slots || wanted.region_count > wire::kMostKernelRegions) {
    give_up("a program is too large");
  }
  memcpy(slots, take(at, end, slot_bytes), slot_bytes);
  const Types types = take_types(at, end, wanted);
  Regions regions;
  long loaded = 0;
  for (std::uint32_t i = 0; i < wanted.region_count; ++i) {
    wire::KernelRegion one;
    memcpy(&one, take(at, end, sizeof one), sizeof one);
    take(at, end, one.byte_count);
    Memory& memory = take_memory(one.byte_count, one.read_only != 0);
    regions.all[regions.count++] = &memory;
    loaded = memory.map < 0 ? memory.map : loaded;
  }
  if (loaded == 0) {
    name_maps(wanted.slot_count, regions);
    loaded = load(slots, wanted.slot_count, types,
                  static_cast<KernelProgramType>(std::uint32_t{wanted.type}));
  }
  if (types.btf >= 0) {
    close_file(types.btf);
  }
  for (std::uint32_t i = 0; i < regions.count; ++i) {
    regions.all[i]->is_in_use = false;
  }
  return loaded;
}

[[noreturn]] void list_programs(int file) {
  wire::KernelListing wanted;
  if (system_call(__NR_read, static_cast<std::uint64_t>(file), number(&wanted), sizeof wanted) !=
          sizeof wanted ||
      wanted.magic != wire::kListingMagic) {
    give_up("/listing is not one of farcall's");
  }
  const bool off = wanted.reader == static_cast<std::uint32_t>(wire::ListingReader::jit_off);
  const bool restricted =
      wanted.reader == static_cast<std::uint32_t>(wire::ListingReader::restricted);
  switch_jit(
      static_cast<std::uint32_t>(off ? wire::KernelMode::interpreter : wire::KernelMode::jit));
  const Window window = Window::open();
  const KernelLog log = KernelLog::open();
  const std::size_t end = window.read(batch, sizeof batch);
  std::size_t at = 0;
  wire::KernelBatch header;
  memcpy(&header, take(at, end, sizeof header), sizeof header);
  static long programs[wire::kMostListed];
  if (header.program_count > wire::kMostListed) {
    give_up("too many programs are to be listed");
  }
  for (std::uint32_t i = 0; i < header.program_count; ++i) {
    programs[i] = load_next(at, end);
  }
  set("/proc/sys/kernel/kptr_restrict", restricted ? "2" : "0", "kptr_restrict cannot be set");
  shorten_kallsyms();
  const wire::KernelListingReply begin{.magic = wire::kListingBegins,
                                       .nonce = wanted.nonce,
                                       .command_count = wire::kListingCommandCount,
                                       .program_count = header.program_count};
  window.write(&begin, sizeof begin);
  for (const auto& words : wire::kListingCommands) {
    write_output(window, run_bpftool(words));
  }
  set("/proc/sys/kernel/kptr_restrict", "0", "kptr_restrict cannot be set");
  bpf_prog_info info = {};
  for (std::uint32_t i = 0; i < header.program_count; ++i) {
    if (programs[i] >= 0 && describe(programs[i], info) < 0) {
      give_up("the kernel does not tell of a program that it has loaded");
    }
    const ul32 id = programs[i] < 0 ? 0 : info.id;
    window.write(&id, sizeof id);
  }
  const Tools tools{.window = window, .log = log, .symbols = Symbols::make()};
  wire::KernelReply reply{.magic = wire::kReplyBegin,
                          .nonce = header.nonce,
                          .program_count = header.program_count,
                          .reserved = 0};
  window.write(&reply, sizeof reply);
  for (std::uint32_t i = 0; i < header.program_count; ++i) {
    wire::KernelAnswer said = {};
    if (programs[i] < 0) {
      said.outcome = static_cast<std::uint32_t>(KernelOutcome::rejected);
      said.error = static_cast<std::uint32_t>(-programs[i]);
    } else {
      describe(programs[i], info);
      count_parts(info, said);
    }
    write_answer(tools, said, {}, false);
  }
  reply.magic = wire::kReplyEnd;
  window.write(&reply, sizeof reply);
  window.end();
  power_off();
}

}  // namespace
}  // namespace farcall

void agent_main() {
  using namespace farcall;
  system_call(__NR_mount, number("dev"), number("/dev"), number("devtmpfs"), 0, 0);
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
  const Tools tools{.window = Window::open(), .log = KernelLog::open(), .symbols = Symbols::make()};
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
