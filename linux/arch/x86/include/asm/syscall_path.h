/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _ASM_X86_SYSCALL_PATH_H
#define _ASM_X86_SYSCALL_PATH_H

/* Which way a 64-bit system call went in: the fast path, or why not. */
#define SYSCALL_PATH_FAST		0	/* dispatched in assembly */
#define SYSCALL_PATH_SLOW		1	/* do_syscall_64(), for any reason */
#define SYSCALL_PATH_SLOW_FLAGS		2	/* TF or RF rule SYSRET out */
#define SYSCALL_PATH_SLOW_NUMBER	3	/* out of range: also x32 */
#define SYSCALL_PATH_SLOW_QUALIFIED	4	/* marked in syscall_64.tbl */

/* ... and out, unless it did not leave assembly. */
#define SYSCALL_PATH_SLOW_RETURN	5	/* in by the fast path, out by C */
#define SYSCALL_PATH_SYSRET		6	/* C decided for SYSRET */
#define SYSCALL_PATH_IRET		7	/* C decided for IRET */

/* C does its work and makes the call. Out by assembly, unless counted as SYSRET or IRET. */
#define SYSCALL_PATH_HANDLED		8

#define NR_SYSCALL_PATHS		9

#ifndef __ASSEMBLER__
struct seq_file;
struct task_struct;

#ifdef CONFIG_X86_SYSCALL_PATH_STATS
/* For the task itself. */
#define count_syscall_path(path)	(current->thread.syscall_paths[path]++)

#define count_syscall_return(sysret)						\
({										\
	bool __sysret = (sysret);						\
										\
	count_syscall_path(__sysret ? SYSCALL_PATH_SYSRET : SYSCALL_PATH_IRET);	\
	__sysret;								\
})

void show_syscall_paths(struct seq_file *m, struct task_struct *task);
void clear_syscall_paths(struct task_struct *task);
#else
static __always_inline void count_syscall_path(int path) { }
static __always_inline bool count_syscall_return(bool sysret) { return sysret; }
static inline void show_syscall_paths(struct seq_file *m, struct task_struct *task) { }
static inline void clear_syscall_paths(struct task_struct *task) { }
#endif
#endif /* !__ASSEMBLER__ */

#endif
