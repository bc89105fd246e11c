// SPDX-License-Identifier: GPL-2.0

#include <linux/percpu.h>
#include <linux/syscall_fastpath.h>
#include <linux/syscall_slowpath.h>

#ifdef CONFIG_SYSCALL_SLOWPATH

#include <linux/ptrace.h>
#include <linux/ratelimit.h>
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

__rust_helper void __percpu *rust_helper_alloc_percpu_counters(size_t nr)
{
	return __alloc_percpu(nr * sizeof(u64), sizeof(u64));
}

__rust_helper u64 rust_helper_percpu_counter_sum(u64 __percpu *counter)
{
	u64 sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(*per_cpu_ptr(counter, cpu));
	return sum;
}

__rust_helper const char *rust_helper_syscall_fastpath_status(void)
{
	return syscall_fastpath_status();
}

/* Silent about what they suppress: each handler counts its verdicts. */
__rust_helper bool rust_helper_syscall_slowpath_ratelimit(void)
{
	static struct ratelimit_state rs =
		RATELIMIT_STATE_INIT_FLAGS(rs, DEFAULT_RATELIMIT_INTERVAL, DEFAULT_RATELIMIT_BURST,
					   RATELIMIT_MSG_ON_RELEASE);

	return __ratelimit(&rs);
}

/* What tasks do must not hide why an administrator's write failed. */
__rust_helper bool rust_helper_syscall_slowpath_ratelimit_admin(void)
{
	static struct ratelimit_state rs =
		RATELIMIT_STATE_INIT_FLAGS(rs, DEFAULT_RATELIMIT_INTERVAL, DEFAULT_RATELIMIT_BURST,
					   RATELIMIT_MSG_ON_RELEASE);

	return __ratelimit(&rs);
}

#endif /* CONFIG_SYSCALL_SLOWPATH */
