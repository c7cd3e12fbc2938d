// System calls of the agent, which has no C library.
#pragma once

#include <asm/unistd.h>
#include <linux/fcntl.h>
#include <linux/reboot.h>

#include <cstddef>
#include <cstdint>

extern "C" {
void* memcpy(void* to, const void* from, std::size_t size);
void* memset(void* to, int value, std::size_t size);
}

namespace farcall {

inline std::uint64_t number(const void* pointer) {
  return reinterpret_cast<std::uint64_t>(pointer);
}

// The result, or an errno below 0.
inline long system_call(long which, std::uint64_t a = 0, std::uint64_t b = 0, std::uint64_t c = 0,
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

inline std::size_t length(const char* text) {
  std::size_t size = 0;
  while (text[size] != '\0') {
    ++size;
  }
  return size;
}

inline int open_file(const char* path, std::uint64_t flags) {
  return static_cast<int>(
      system_call(__NR_openat, static_cast<std::uint64_t>(AT_FDCWD), number(path), flags, 0));
}

inline void close_file(long file) {
  system_call(__NR_close, static_cast<std::uint64_t>(file));
}

[[noreturn]] inline void power_off() {
  system_call(__NR_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_POWER_OFF);
  while (true) {
  }
}

[[noreturn]] inline void give_up(const char* why) {
  constexpr const char* kSaid = "<3>farcall agent: ";
  char line[128] = {};
  memcpy(line, kSaid, length(kSaid));
  memcpy(line + length(kSaid), why, length(why));
  const int log = open_file("/dev/kmsg", O_WRONLY);
  system_call(__NR_write, static_cast<std::uint64_t>(log), number(line), length(line));
  power_off();
}

inline void set(const char* path, const char* value, const char* what) {
  const int file = open_file(path, O_WRONLY);
  if (file < 0 ||
      system_call(__NR_write, static_cast<std::uint64_t>(file), number(value), length(value)) < 0) {
    give_up(what);
  }
  system_call(__NR_close, static_cast<std::uint64_t>(file));
}

// A character device, by its numbers in Linux's Documentation/admin-guide/devices.txt.
inline void make_device(const char* path, std::uint64_t major, std::uint64_t minor) {
  constexpr std::uint64_t kCharacters = 0020600;
  system_call(__NR_mknodat, static_cast<std::uint64_t>(AT_FDCWD), number(path), kCharacters,
              major << 8U | minor);
}

inline void make_folder(const char* path) {
  system_call(__NR_mkdirat, static_cast<std::uint64_t>(AT_FDCWD), number(path), 0755);
}

}  // namespace farcall
