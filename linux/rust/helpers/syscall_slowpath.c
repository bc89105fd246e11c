// SPDX-License-Identifier: GPL-2.0

#include <linux/syscall_fastpath.h>
#include <linux/syscall_slowpath.h>

#ifdef CONFIG_SYSCALL_SLOWPATH

#include <linux/ptrace.h>
#include <asm/syscall.h>

__rust_helper int rust_helper_syscall_get_nr(struct pt_regs *regs)
{
	return syscall_get_nr(current, regs);
}

__rust_helper int rust_helper_syscall_get_arch(void)
{
	return syscall_get_arch(current);
}

__rust_helper void rust_helper_syscall_get_arguments(struct pt_regs *regs, unsigned long *args)
{
	syscall_get_arguments(current, regs, args);
}

__rust_helper long rust_helper_syscall_get_return_value(struct pt_regs *regs)
{
	return syscall_get_return_value(current, regs);
}

__rust_helper void rust_helper_syscall_set_return_value(struct pt_regs *regs, int error,
							long value)
{
	syscall_set_return_value(current, regs, error, value);
}

__rust_helper unsigned long rust_helper_instruction_pointer(struct pt_regs *regs)
{
	return instruction_pointer(regs);
}

__rust_helper unsigned long rust_helper_user_stack_pointer(struct pt_regs *regs)
{
	return user_stack_pointer(regs);
}

__rust_helper const char *rust_helper_syscall_fastpath_status(void)
{
	return syscall_fastpath_status();
}

#endif /* CONFIG_SYSCALL_SLOWPATH */
