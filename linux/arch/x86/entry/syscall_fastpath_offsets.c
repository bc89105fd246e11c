// SPDX-License-Identifier: GPL-2.0
/* What entry_64_fastpath.S alone has to know of C's structures. */
#define COMPILE_OFFSETS
#include <linux/entry-common.h>
#include <linux/kbuild.h>
#include <linux/sched.h>
#include <linux/syscall_slowpath.h>

int main(void)
{
#ifdef CONFIG_SYSCALL_SLOWPATH
	OFFSET(TASK_syscall_slowpath, task_struct, syscall_slowpath);
	OFFSET(TASK_syscall_slowpath_saved, task_struct, syscall_slowpath_saved);
	OFFSET(GROUP_pass, syscall_slowpath_group, pass);
	OFFSET(PASS_lines, syscall_slowpath_pass, lines);
	OFFSET(PASS_hits, syscall_slowpath_pass, hits);
	OFFSET(PASS_made, syscall_slowpath_pass, made);
	DEFINE(SYSCALL_WORK_OF_PASSED, SYSCALL_WORK_EXIT & ~SYSCALL_WORK_SYSCALL_SLOWPATH);
	DEFINE(SYSCALL_WORK_FOR_C, (int)~(SYSCALL_WORK_SECCOMP | SYSCALL_WORK_SYSCALL_SLOWPATH));
#else
	DEFINE(SYSCALL_WORK_FOR_C, (int)~SYSCALL_WORK_SECCOMP);
#endif
	return 0;
}
