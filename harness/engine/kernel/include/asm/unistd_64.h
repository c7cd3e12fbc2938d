/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Numbers of system calls, which a kernel's build makes of its table: those that its headers name
 * where 32-bit programs may run. The JIT has no use for them.
 */
#define __NR_exit 1
#define __NR_read 3
#define __NR_write 4
#define __NR_sigreturn 119
#define __NR_rt_sigreturn 172
