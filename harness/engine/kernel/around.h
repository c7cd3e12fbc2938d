/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Included before each file of the kernel's JIT, which stays as it is: what of the kernel's headers
 * asks the running kernel is answered by glue.c instead.
 */
#include <asm/sections.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#ifdef FARCALL_TEXT_PATCHING
#include <asm/text-patching.h>
#else
#include <asm/code-patching.h>
#endif

extern void farcall_warn(const char* file, int line);
extern unsigned long farcall_toc;
extern unsigned long farcall_function_entry(void* function);

/* A WARN is a trap instruction, which nobody here catches. */
#undef WARN_ON
#undef WARN_ON_ONCE
#define WARN_ON(condition)              \
  ({                                    \
    int farcall_bad = !!(condition);    \
    if (farcall_bad)                    \
      farcall_warn(__FILE__, __LINE__); \
    farcall_bad;                        \
  })
#define WARN_ON_ONCE(condition) WARN_ON(condition)

/* Functions that a program calls are not here: nothing can be read at their addresses. */
#define ppc_function_entry(function) farcall_function_entry(function)

#define kernel_toc_addr() farcall_toc
