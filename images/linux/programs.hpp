// Programs and maps of BPF: loaded, run, described, and the names that the kernel has for them.
#pragma once

#include <linux/bpf.h>
#include <linux/mman.h>

#include <cstddef>
#include <cstdint>

#include "linux/system.hpp"
#include "wire/kernel_batch.hpp"

namespace farcall {

using wire::KernelOutcome;
using wire::KernelProgramType;

inline constexpr std::uint32_t kMostFunctions = 256;  // Linux's own limit for subprograms
inline constexpr std::size_t kMostProgramBytes = std::size_t{16} << 20;
inline constexpr std::size_t kMostCodeBytes = std::size_t{64} << 20;
inline constexpr std::size_t kMostLogBytes = std::size_t{1} << 20;

inline char batch[wire::kMostBatchBytes];
inline char code[kMostCodeBytes];
inline char program[kMostProgramBytes];
inline bpf_insn slots[kMostProgramBytes / sizeof(bpf_insn)];
inline bpf_line_info lines[kMostProgramBytes / sizeof(bpf_insn)];
inline std::uint64_t line_addresses[kMostProgramBytes / sizeof(bpf_insn)];
inline bpf_func_info function_types[kMostFunctions];
inline char listing[1 << 16];
inline char verifier_log[kMostLogBytes];
inline std::uint64_t addresses[kMostFunctions];
inline std::uint32_t lengths[kMostFunctions];

inline long bpf(int command, bpf_attr& attributes) {
  return system_call(__NR_bpf, static_cast<std::uint64_t>(command), number(&attributes),
                     sizeof attributes);
}

// Of a program; without BTF, all are 0. The kernel reads the others from these addresses.
struct Types {
  long btf = -1;
  const char* functions = nullptr;
  std::uint32_t function_count = 0;
  const char* lines = nullptr;
  std::uint32_t line_count = 0;
};

// The file descriptor, or an errno below 0; then the verifier's words are in its log.
inline long load(const bpf_insn* program_slots, std::uint32_t count, const Types& types = {},
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
    attributes.func_info_rec_size = wire::kFunctionTypeBytes;
    attributes.func_info = number(types.functions);
    attributes.func_info_cnt = types.function_count;
    attributes.line_info_rec_size = wire::kSourceLineBytes;
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

inline long run(long loaded, std::uint32_t& result, const char* context = nullptr,
                std::uint32_t context_bytes = 0) {
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

// Has a raw tracepoint run each time the kernel comes there, until what it returns is closed.
inline long attach(long loaded, const char* tracepoint) {
  bpf_attr attributes;
  memset(&attributes, 0, sizeof attributes);
  attributes.raw_tracepoint.name = number(tracepoint);
  attributes.raw_tracepoint.prog_fd = static_cast<std::uint32_t>(loaded);
  return bpf(BPF_RAW_TRACEPOINT_OPEN, attributes);
}

// An array of one value, an errno below 0 if the kernel has none.
inline long make_map(std::uint32_t byte_count, std::uint32_t flags) {
  bpf_attr attributes;
  memset(&attributes, 0, sizeof attributes);
  attributes.map_type = BPF_MAP_TYPE_ARRAY;
  attributes.key_size = 4;
  attributes.value_size = byte_count;
  attributes.max_entries = 1;
  attributes.map_flags = flags;
  return bpf(BPF_MAP_CREATE, attributes);
}

inline long set_value(long map, const void* value) {
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

inline Memory make_memory(std::uint32_t size, bool read_only) {
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

inline void write(const Memory& memory, const char* bytes) {
  if (!memory.read_only) {
    memcpy(memory.bytes, bytes, memory.size);
  } else if (set_value(memory.map, bytes) < 0) {
    give_up("a region cannot be written");
  }
}

inline void remove(Memory& memory) {
  if (memory.map >= 0) {
    system_call(__NR_munmap, number(memory.bytes), memory.size);
    close_file(memory.map);
  }
  memory = {};
}

// What programs had before is had again: to make a map, and to find out where its value is, takes as
// long as a program.
inline Memory memories[wire::kMostKernelRegions];

// One that no other region of this program has, in use from now on.
inline Memory& take_memory(std::uint32_t size, bool read_only) {
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

inline constexpr std::uint8_t kLoad64 = 0x18;

inline bpf_insn* put_map_value(bpf_insn* at, std::uint8_t to, long map, std::int32_t offset) {
  at[0] = {.code = kLoad64,
           .dst_reg = static_cast<std::uint8_t>(to & 15U),
           .src_reg = BPF_PSEUDO_MAP_VALUE,
           .off = 0,
           .imm = static_cast<std::int32_t>(map)};
  at[1] = {.code = 0, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = offset};
  return at + 2;
}

inline bpf_insn* put_end(bpf_insn* at) {
  at[0] = {.code = 0xb7, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0};  // mov r0, 0
  at[1] = {.code = 0x95, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0};  // exit
  return at + 2;
}

// A map, and which of its addresses: that of its value, or that of its structure.
struct Sought {
  long map = -1;
  bool is_structure = false;
  std::uint64_t address = 0;
};

// Asks a program, which stores them.
inline void find_addresses(Sought* sought, std::uint32_t count) {
  constexpr std::uint32_t kMost = 2 * wire::kMostKernelRegions;
  Memory table = make_memory(8 * kMost, false);
  bpf_insn probe[3 * kMost + 4];
  bpf_insn* at = put_map_value(probe, 1, table.map, 0);
  for (std::uint32_t i = 0; i < count; ++i) {
    at = put_map_value(at, 2, sought[i].map, 0);
    if (sought[i].is_structure) {
      at[-2].src_reg = BPF_PSEUDO_MAP_FD;
    }
    *at++ = {.code = 0x7b,
             .dst_reg = 1,
             .src_reg = 2,  // stxdw [r1 + 8 i], r2
             .off = static_cast<std::int16_t>(8 * i),
             .imm = 0};
  }
  at = put_end(at);
  const auto probe_count = static_cast<std::uint32_t>(at - probe);
  // Only a program that does not sleep may name an array of programs, up to 6.12.
  const long loaded = load(probe, probe_count, {}, KernelProgramType::raw_tracepoint);
  std::uint32_t result = 0;
  if (table.map < 0 || loaded < 0 || run(loaded, result) < 0) {
    give_up("the addresses of maps cannot be found");
  }
  for (std::uint32_t i = 0; i < count; ++i) {
    memcpy(&sought[i].address, table.bytes + std::size_t{8} * i, 8);
  }
  close_file(loaded);
  remove(table);
}

// Where the values of maps are that have just been made.
inline void find_values(Memory* const* found, std::uint32_t count) {
  Sought sought[wire::kMostKernelRegions];
  for (std::uint32_t i = 0; i < count; ++i) {
    sought[i].map = found[i]->map;
  }
  find_addresses(sought, count);
  for (std::uint32_t i = 0; i < count; ++i) {
    found[i]->address = sought[i].address;
  }
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

inline std::uint64_t hexadecimal(const char* text, std::size_t size) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < size; ++i) {
    const char digit = text[i];
    value = value * 16 + static_cast<std::uint64_t>(digit <= '9' ? digit - '0' : digit - 'a' + 10);
  }
  return value;
}

// What /proc/kallsyms, which is what tools read, has at an address; nothing, if it has nothing.
// Lines are `c000000000000000 T _stext`, maybe with a module after a tab. Takes 2 s.
inline void listed_symbol(std::uint64_t address, char* symbol) {
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

inline long describe(long loaded, bpf_prog_info& info) {
  memset(&info, 0, sizeof info);
  info.nr_jited_ksyms = kMostFunctions;
  info.jited_ksyms = number(addresses);
  info.nr_jited_func_lens = kMostFunctions;
  info.jited_func_lens = number(lengths);
  info.jited_prog_insns = number(code);
  info.jited_prog_len = kMostCodeBytes;
  info.xlated_prog_insns = number(program);
  info.xlated_prog_len = kMostProgramBytes;
  info.nr_func_info = kMostFunctions;
  info.func_info = number(function_types);
  info.func_info_rec_size = sizeof function_types[0];
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

inline void switch_jit(std::uint32_t mode) {
  const bool jit = mode != static_cast<std::uint32_t>(wire::KernelMode::interpreter);
  const bool hardened = mode == static_cast<std::uint32_t>(wire::KernelMode::hardened);
  set("/proc/sys/net/core/bpf_jit_enable", jit ? "1" : "0", "the JIT cannot be switched");
  set("/proc/sys/net/core/bpf_jit_harden", hardened ? "2" : "0", "bpf_jit_harden cannot be set");
}

}  // namespace farcall
