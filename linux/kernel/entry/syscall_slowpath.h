/* SPDX-License-Identifier: GPL-2.0 */
/* What the two files on slow path handlers share. */
#ifndef _KERNEL_ENTRY_SYSCALL_SLOWPATH_H
#define _KERNEL_ENTRY_SYSCALL_SLOWPATH_H

#include <linux/spinlock.h>
#include <linux/srcu.h>
#include <linux/syscall_slowpath.h>

/* See syscall_slowpath.c. */
extern spinlock_t syscall_slowpath_lock;
extern struct srcu_struct syscall_slowpath_srcu;

void syscall_slowpath_update_work(struct task_struct *task);

void syscall_slowpath_forget_call(void);
void syscall_slowpath_fork_call(struct task_struct *child);

#endif
