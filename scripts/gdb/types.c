// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel is built without debug information. scripts/debug compiles this like a file of the
 * kernel, with debug information, and so gdb knows these types, and the macros their headers define.
 */
#include <linux/sched.h>
#include <linux/syscall_slowpath.h>

#include <asm/ptrace.h>
#include <asm/syscall_path.h>
#include <asm/unistd.h>

struct task_struct *task;
struct pt_regs *regs;
struct syscall_slowpath_group *group;
enum syscall_work_bit work_bit;
