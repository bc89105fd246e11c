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

unsigned long syscall_64_with_work(struct pt_regs *regs, long nr);
unsigned long syscall_64_dispatch_with_work(struct pt_regs *regs, long nr);
unsigned long syscall_64_handled(struct pt_regs *regs, long nr);
bool syscall_64_passed_return(struct pt_regs *regs);
bool syscall_64_handled_return(struct pt_regs *regs, unsigned long exit);

#else

static inline void syscall_fastpath_init(void) { }
static inline void syscall_fastpath_update(void) { }
static inline const char *syscall_fastpath_status(void)
{
	return "not-built";
}

#endif

#endif
