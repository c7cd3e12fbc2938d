/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Factors that the kernel's build computes from HZ. The JIT has no use for time.
 */
#ifndef FARCALL_TIMECONST_H
#define FARCALL_TIMECONST_H
#define HZ_TO_MSEC_MUL32 0
#define HZ_TO_MSEC_ADJ32 0
#define HZ_TO_MSEC_SHR32 0
#define MSEC_TO_HZ_MUL32 0
#define MSEC_TO_HZ_ADJ32 0
#define MSEC_TO_HZ_SHR32 0
#define HZ_TO_MSEC_NUM 1
#define HZ_TO_MSEC_DEN 1
#define MSEC_TO_HZ_NUM 1
#define MSEC_TO_HZ_DEN 1
#define HZ_TO_USEC_NUM 1
#define HZ_TO_USEC_DEN 1
#define USEC_TO_HZ_NUM 1
#define USEC_TO_HZ_DEN 1
#define HZ_TO_NSEC_NUM 1
#define HZ_TO_NSEC_DEN 1
#define HZ_TO_USEC_MUL32 0
#define HZ_TO_USEC_ADJ32 0
#define HZ_TO_USEC_SHR32 0
#define USEC_TO_HZ_MUL32 0
#define USEC_TO_HZ_ADJ32 0
#define USEC_TO_HZ_SHR32 0
#define NSEC_TO_HZ_NUM 1
#define NSEC_TO_HZ_DEN 1
#endif
