/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Numbers of system calls, which a kernel's build makes of its table. The JIT makes none.
 */
