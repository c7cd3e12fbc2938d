// What bpftool says of the programs of a batch, see wire/kernel_listing.hpp.
#pragma once

#include <linux/mount.h>

#include "linux/batch.hpp"
#include "wire/kernel_listing.hpp"

namespace farcall {

// Runs /bpftool with these words; what it writes is in the file /output afterwards. Its status, as
// wait() has it.
inline std::uint32_t run_bpftool(const char* const* words) {
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

// Tells the host what is in the file.
inline void write_output(const Window& window, const char* path, std::uint32_t status) {
  const int file = open_file(path, O_RDONLY);
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

template <std::size_t Size>
bool contains(const char* line, std::size_t size, const char (&text)[Size]) {
  bool found = false;
  for (std::size_t i = 0; i + Size - 1 <= size && !found; ++i) {
    std::size_t same = 0;
    while (same < Size - 1 && line[i + same] == text[same]) {
      ++same;
    }
    found = same == Size - 1;
  }
  return found;
}

inline std::uint64_t address_of(const char* line, std::size_t size) {
  std::uint64_t address = 0;
  for (std::size_t i = 0; i < size && line[i] != ' '; ++i) {
    address = address * 16 +
              static_cast<std::uint64_t>(line[i] <= '9' ? line[i] - '0' : line[i] - 'a' + 10);
  }
  return address;
}

// The addresses of all BPF functions, modulo 2^32.
struct LowAddresses {
  static constexpr std::size_t kMost = 4096;
  static constexpr std::uint32_t kBits = 1U << 16U;

  void add(std::uint64_t address) {
    const auto low = static_cast<std::uint32_t>(address);
    if (address != 0 && count < kMost) {  // 0: it is hidden
      all[count++] = low;
      may_have[low / 4 % kBits] = true;
    }
  }
  bool has(std::uint64_t address) const {
    const auto low = static_cast<std::uint32_t>(address);
    bool found = false;
    for (std::size_t i = 0; may_have[low / 4 % kBits] && i < count && !found; ++i) {
      found = all[i] == low;
    }
    return found;
  }

  std::uint32_t all[kMost];
  std::size_t count;
  bool may_have[kBits];
};

inline LowAddresses low_addresses;

// For each line of /proc/kallsyms, with its end.
template <typename Action>
void for_each_symbol(Action action) {
  const int from = open_file("/proc/kallsyms", O_RDONLY);
  char line[512];
  std::size_t size = 0;
  while (true) {
    const long got =
        system_call(__NR_read, static_cast<std::uint64_t>(from), number(listing), sizeof listing);
    if (got < 0) {
      give_up("/proc/kallsyms cannot be read");
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
        action(line, size);
        size = 0;
      }
    }
  }
  close_file(from);
}

// Puts a copy in place of /proc/kallsyms: bpftool reads it once for each program, and all of it
// would take seconds each time. The copy has the lines with `bpf` in them, and those whose address is
// that of a BPF function modulo 2^32: bpftool takes the two for one.
inline void shorten_kallsyms() {
  for_each_symbol([](const char* line, std::size_t size) {
    if (contains(line, size, "[bpf]")) {
      low_addresses.add(address_of(line, size));
    }
  });
  const long to = system_call(__NR_openat, static_cast<std::uint64_t>(AT_FDCWD),
                              number("/kallsyms"), O_WRONLY | O_CREAT | O_TRUNC, 0444);
  for_each_symbol([to](const char* line, std::size_t size) {
    if ((contains(line, size, "bpf") || low_addresses.has(address_of(line, size))) &&
        system_call(__NR_write, static_cast<std::uint64_t>(to), number(line), size) < 0) {
      give_up("/proc/kallsyms cannot be copied");
    }
  });
  close_file(static_cast<int>(to));
  if (system_call(__NR_mount, number("/kallsyms"), number("/proc/kallsyms"), 0, MS_BIND, 0) < 0) {
    give_up("/proc/kallsyms cannot be replaced");
  }
}

// Loads the program at `at` of the batch, which goes past it.
inline long load_next(std::size_t& at, std::size_t end) {
  wire::KernelProgram asked;
  memcpy(&asked, take(at, end, sizeof asked), sizeof asked);
  if (asked.region_count > wire::kMostKernelRegions || asked.target_count != 0) {
    give_up("a program is too large");
  }
  const Wanted wanted = take_program(at, end, asked);
  take(at, end, asked.context_bytes);
  Regions regions;
  long loaded = take_regions(regions, at, end, asked.region_count);
  if (loaded >= 0) {
    loaded =
        load_wanted(wanted, regions, static_cast<KernelProgramType>(std::uint32_t{asked.type}));
  }
  if (wanted.types.btf >= 0) {
    close_file(wanted.types.btf);
  }
  give_back(regions);
  return loaded;
}

[[noreturn]] inline void list_programs(int file) {
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
    write_output(window, "/output", run_bpftool(words));
  }
  write_output(window, "/kallsyms", 0);
  set("/proc/sys/kernel/kptr_restrict", "0", "kptr_restrict cannot be set");
  bpf_prog_info info = {};
  for (std::uint32_t i = 0; i < header.program_count; ++i) {
    if (programs[i] >= 0 && describe(programs[i], info) < 0) {
      give_up("the kernel does not tell of a program that it has loaded");
    }
    const ul32 id = programs[i] < 0 ? 0 : info.id;
    window.write(&id, sizeof id);
  }
  const Tools tools{
      .window = window, .log = log, .symbols = Symbols::make(), .reader = KernelReader::make()};
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
    said.kernel_log_bytes = log.read();
    write_answer(tools, said, nullptr, false);
  }
  reply.magic = wire::kReplyEnd;
  window.write(&reply, sizeof reply);
  window.end();
  power_off();
}

}  // namespace farcall
