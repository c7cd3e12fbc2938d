/* SPDX-License-Identifier: BSD-2-Clause
 *
 * What the kernel's build would find out by compiling. Sizes of structures that the JIT does not look
 * into: that they are the same in all files is enough.
 */
#ifndef FARCALL_BOUNDS_H
#define FARCALL_BOUNDS_H
#define NR_PAGEFLAGS 24
#define MAX_NR_ZONES 3
#define NR_CPUS_BITS 11
#define SPINLOCK_SIZE 4
#define LRU_GEN_WIDTH 0
#define __LRU_REFS_WIDTH 0
#endif
