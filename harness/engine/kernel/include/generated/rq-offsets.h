/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Where a run queue has a counter that the kernel's build finds out. The JIT has no use for it.
 */
#ifndef FARCALL_RQ_OFFSETS_H
#define FARCALL_RQ_OFFSETS_H
#define RQ_nr_pinned 0
#endif
