// What the agent shares with the host, and what the kernel logs.
#pragma once

#include <asm/ioctls.h>
#include <asm/termbits.h>
#include <linux/errno.h>
#include <linux/mman.h>

#include <cstddef>
#include <cstdint>

#include "linux/system.hpp"
#include "wire/kernel_batch.hpp"

namespace farcall {

inline constexpr std::size_t kMostKernelLogBytes = std::size_t{1} << 20;
inline char kernel_log[kMostKernelLogBytes];

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

}  // namespace farcall
