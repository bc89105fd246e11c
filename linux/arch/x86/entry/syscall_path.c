// SPDX-License-Identifier: GPL-2.0
/* Shows the paths that the system calls of a task took. */
#include <linux/processor.h>
#include <linux/sched.h>
#include <linux/seq_file.h>

#include <asm/syscall_path.h>

static const char * const names[NR_SYSCALL_PATHS] = {
	[SYSCALL_PATH_FAST]		= "syscall_fast",
	[SYSCALL_PATH_SLOW]		= "syscall_slow",
	[SYSCALL_PATH_SLOW_FLAGS]	= "syscall_slow_flags",
	[SYSCALL_PATH_SLOW_NUMBER]	= "syscall_slow_number",
	[SYSCALL_PATH_SLOW_QUALIFIED]	= "syscall_slow_qualified",
	[SYSCALL_PATH_SLOW_RETURN]	= "syscall_slow_return",
	[SYSCALL_PATH_SYSRET]		= "syscall_sysret",
	[SYSCALL_PATH_IRET]		= "syscall_iret",
	[SYSCALL_PATH_HANDLED]		= "syscall_handled",
};

/**
 * show_syscall_paths - Add the counts of a task to its arch_status file
 * @m:		The file
 * @task:	The task, which may be running
 */
void show_syscall_paths(struct seq_file *m, struct task_struct *task)
{
	for (int i = 0; i < NR_SYSCALL_PATHS; i++)
		seq_printf(m, "%s:\t%lu\n", names[i], READ_ONCE(task->thread.syscall_paths[i]));
}

/**
 * clear_syscall_paths - Let a new task count from zero
 * @task:	The task, which has not run yet
 */
void clear_syscall_paths(struct task_struct *task)
{
	memset(task->thread.syscall_paths, 0, sizeof(task->thread.syscall_paths));
}
