/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _LINUX_SYSCALL_FASTPATH_H
#define _LINUX_SYSCALL_FASTPATH_H

#ifdef CONFIG_X86_SYSCALL_FASTPATH

#include <linux/percpu-defs.h>
#include <linux/types.h>

struct pt_regs;

DECLARE_PER_CPU(u64, syscall_64_offset_bits);

void syscall_fastpath_init(void);
void syscall_fastpath_update(void);
const char *syscall_fastpath_status(void);

bool syscall_64_passed_return(struct pt_regs *regs);

#else

static inline void syscall_fastpath_init(void) { }
static inline void syscall_fastpath_update(void) { }
static inline const char *syscall_fastpath_status(void)
{
	return "not-built";
}

#endif

#endif
