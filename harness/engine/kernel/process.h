/* SPDX-License-Identifier: BSD-2-Clause
 *
 * What a process needs where there is no libc: system calls, words, memory.
 * A part of glue.c, which says what it is for.
 */
#pragma once

#include <linux/types.h>

enum { SYS_READ = 3, SYS_WRITE = 4, SYS_EXIT = 1, SYS_MMAP = 90 };

static long system_call(long number, long a, long b, long c, long d, long e, long f) {
  register long r0 asm("r0") = number;
  register long r3 asm("r3") = a;
  register long r4 asm("r4") = b;
  register long r5 asm("r5") = c;
  register long r6 asm("r6") = d;
  register long r7 asm("r7") = e;
  register long r8 asm("r8") = f;
  asm volatile("sc\n\tbns+ 1f\n\tneg 3,3\n1:"
               : "+r"(r0), "+r"(r3), "+r"(r4), "+r"(r5), "+r"(r6), "+r"(r7), "+r"(r8)
               :
               : "r9", "r10", "r11", "r12", "cr0", "ctr", "xer", "memory");
  return r3;
}

/* The kernel's name for a function of the glue. */
#define ALIAS(kernel_name, own_name) \
  asm(".globl " #kernel_name "\n\t.set " #kernel_name ", " #own_name)

static void say(const char* text) {
  long length = 0;
  while (text[length])
    ++length;
  system_call(SYS_WRITE, 2, (long)text, length, 0, 0, 0);
}

static void __attribute__((noreturn)) leave(int status) {
  for (;;)
    system_call(SYS_EXIT, status, 0, 0, 0, 0, 0);
}

static void __attribute__((noreturn)) give_up(const char* why, const char* what) {
  say(why);
  say(what);
  say("\n");
  leave(70);
}

/* Called by what stands in for each symbol that neither the JIT nor the glue has. */
void __attribute__((noreturn)) farcall_missing(const char* symbol) {
  give_up("the kernel's JIT called a function that farcall's glue lacks: ", symbol);
}

void* memset(void* to, int value, size_t count) {
  char* at = to;
  while (count--)
    *at++ = value;
  return to;
}

void* memcpy(void* to, const void* from, size_t count) {
  char* at = to;
  const char* source = from;
  while (count--)
    *at++ = *source++;
  return to;
}

void* farcall_memset32(u32* to, u32 value, size_t bytes) {
  for (size_t i = 0; i < bytes / 4; ++i)
    to[i] = value;
  return to;
}
ALIAS(__memset32, farcall_memset32);

/* Memory: from one piece, all of it given back after each program. */
enum { ARENA_BYTES = 1 << 30 };
static char *arena, *arena_next;

static void* take(size_t bytes) {
  bytes = (bytes + 15) & ~15ul;
  if (arena_next + bytes > arena + ARENA_BYTES)
    give_up("a program needs more than 1 GiB of memory", "");
  void* const taken = arena_next;
  arena_next += bytes;
  return memset(taken, 0, bytes);
}
