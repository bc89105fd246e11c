// SPDX-License-Identifier: GPL-2.0
/*
 * What becomes of the system calls of tasks with a slow path handler.
 *
 * The handler judges a call in syscall_slowpath_srcu and answers with an action,
 * which is carried out here, outside of that. What it changed of the call is in
 * task_struct::syscall_slowpath_saved, which is the task's own, until the exit.
 */
#include <linux/audit.h>
#include <linux/compat.h>
#include <linux/entry-common.h>
#include <linux/export.h>
#include <linux/hrtimer.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/seccomp.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/wait_bit.h>

#include <asm/syscall.h>

#define CREATE_TRACE_POINTS
#include <trace/events/syscall_slowpath.h>

#include "syscall_slowpath.h"

struct call {
	unsigned long	nr;
	unsigned long	args[6];
};

static noinline void get_call(struct pt_regs *regs, struct call *call)
{
	call->nr = syscall_get_nr(current, regs);
	syscall_get_arguments(current, regs, call->args);
}

/* Who wants a call to be delayed: a group as it was before it said so. */
struct delayer {
	/* Only compared, unless it is the task's still. */
	struct syscall_slowpath_group *group;
	unsigned long nr_ended;
};

/* What is written to user memory at the exit, and what before that. */
struct exit_write {
	struct exit_write	*before;
	void __user		*to;
	size_t			len;
	u8			data[] __counted_by(len);
};

struct syscall_slowpath_saved {
	unsigned long	ip;
	unsigned long	sp;
	struct call	call;
	long		result;
	/* Which plan, and who said so. */
	struct syscall_slowpath_plan plan;
	struct delayer	planner;
	struct exit_write *writes;
	bool		has_result;
	/* Was killed, whatever its signal handlers are. */
	bool		dead;
};

/*
 * User space relies on finding its registers as they were. Of several changes to
 * one call the first one's are those.
 */
static int save_call(struct pt_regs *regs)
{
	struct syscall_slowpath_saved *saved;

	if (current->syscall_slowpath_saved)
		return 0;

	/* Tasks can have as many of these as there are tasks. */
	saved = kzalloc_obj(*saved, GFP_KERNEL_ACCOUNT);
	if (!saved)
		return -ENOMEM;
	saved->ip = instruction_pointer(regs);
	saved->sp = user_stack_pointer(regs);
	get_call(regs, &saved->call);

	syscall_slowpath_lock_task(current);
	WRITE_ONCE(current->syscall_slowpath_saved, saved);
	syscall_slowpath_update_work(current);
	syscall_slowpath_unlock_task(current);
	return 0;
}

/* The number of the program's own call, and not of what a handler made of it. */
static int own_nr(struct pt_regs *regs)
{
	const struct syscall_slowpath_saved *saved = current->syscall_slowpath_saved;

	return saved ? saved->call.nr : syscall_get_nr(current, regs);
}

static noinline void do_trace_verdict(struct pt_regs *regs, unsigned int what, long value)
{
	const struct syscall_slowpath_saved *saved = current->syscall_slowpath_saved;
	struct syscall_slowpath_group *group;
	struct srcu_ctr __percpu *scp;
	struct call call;

	/* The program's own call, and not what a handler made of it. */
	if (saved)
		call = saved->call;
	else
		get_call(regs, &call);
	if (syscall_get_arch(current) == AUDIT_ARCH_I386) {
		for (int i = 0; i < ARRAY_SIZE(call.args); i++)
			call.args[i] = lower_32_bits(call.args[i]);
	}

	scp = srcu_read_lock_fast(&syscall_slowpath_srcu);
	group = srcu_dereference(current->syscall_slowpath, &syscall_slowpath_srcu);
	trace_syscall_slowpath_verdict(syscall_get_arch(current), call.nr, what, value, call.args,
				       group ? group->name : "none");
	srcu_read_unlock_fast(&syscall_slowpath_srcu, scp);
}

/* Finds the rest by itself: nothing has to be kept for it where calls just go on. */
static __always_inline void trace_verdict(struct pt_regs *regs, unsigned int what, long value)
{
	if (trace_syscall_slowpath_verdict_enabled())
		do_trace_verdict(regs, what, value);
}

/**
 * syscall_slowpath_set_number - Have another call made
 * @regs:	The registers of the task
 * @nr:		The number of the call, in the convention of the one that it is
 *
 * For a handler. The registers are put back when the call returns, even if the
 * task leaves its group meanwhile.
 *
 * Context: In @enter; may sleep.
 * Return: 0, or -ENOMEM.
 */
int syscall_slowpath_set_number(struct pt_regs *regs, int nr)
{
	int ret = save_call(regs);

	if (ret)
		return ret;
	syscall_set_nr(current, regs, nr);
	trace_verdict(regs, SYSCALL_SLOWPATH_NUMBER, nr);
	return 0;
}
EXPORT_SYMBOL_GPL(syscall_slowpath_set_number);

/**
 * syscall_slowpath_set_argument - Have a call made with another argument
 * @regs:	The registers of the task
 * @index:	Which one, from 0
 * @value:	The value
 *
 * For a handler. The registers are put back as by syscall_slowpath_set_number().
 *
 * Context: In @enter; may sleep.
 * Return: 0, -EINVAL if there is no such argument, or -ENOMEM.
 */
int syscall_slowpath_set_argument(struct pt_regs *regs, unsigned int index, unsigned long value)
{
	struct call call;
	int ret;

	if (index >= ARRAY_SIZE(call.args))
		return -EINVAL;
	ret = save_call(regs);
	if (ret)
		return ret;
	get_call(regs, &call);
	call.args[index] = value;
	syscall_set_arguments(current, regs, call.args);
	trace_verdict(regs, SYSCALL_SLOWPATH_ARGUMENT, value);
	return 0;
}
EXPORT_SYMBOL_GPL(syscall_slowpath_set_argument);

/**
 * syscall_slowpath_set_result - Have a call return this, whatever it does
 * @regs:	The registers of the task
 * @result:	A value, or a negative error
 *
 * For a handler. The call is made, and its own result is lost.
 *
 * Context: In @enter; may sleep.
 * Return: 0, or -ENOMEM.
 */
int syscall_slowpath_set_result(struct pt_regs *regs, long result)
{
	int ret = save_call(regs);

	if (ret)
		return ret;
	current->syscall_slowpath_saved->has_result = true;
	current->syscall_slowpath_saved->result = result;
	trace_verdict(regs, SYSCALL_SLOWPATH_RESULT, result);
	return 0;
}
EXPORT_SYMBOL_GPL(syscall_slowpath_set_result);

/**
 * syscall_slowpath_remember - Remember that a call was made now
 * @what:	What to remember of it, not 0
 *
 * For a handler that wants to know how long a call takes.
 *
 * Context: In @enter.
 */
void syscall_slowpath_remember(u64 what)
{
	current->syscall_slowpath_memo.time = ktime_get();
	WRITE_ONCE(current->syscall_slowpath_memo.what, what);
}
EXPORT_SYMBOL_GPL(syscall_slowpath_remember);

/**
 * syscall_slowpath_recall - Say what was remembered of a call that returns
 * @ns:		Gets how many nanoseconds ago, if it was
 *
 * For a handler. What is said may be another handler's: whoever asks has to find
 * that out by what it is. It is forgotten when the task comes to another group,
 * and when it was not steered meanwhile.
 *
 * Context: In @exit_work.
 * Return: What was remembered, or 0. It is forgotten.
 */
u64 syscall_slowpath_recall(u64 *ns)
{
	u64 what = READ_ONCE(current->syscall_slowpath_memo.what);

	if (what) {
		*ns = ktime_to_ns(ktime_sub(ktime_get(), current->syscall_slowpath_memo.time));
		WRITE_ONCE(current->syscall_slowpath_memo.what, 0);
	}
	return what;
}
EXPORT_SYMBOL_GPL(syscall_slowpath_recall);

static void drop_writes(struct syscall_slowpath_saved *saved)
{
	struct exit_write *write;

	while ((write = saved->writes)) {
		saved->writes = write->before;
		kfree(write);
	}
}

/**
 * syscall_slowpath_set_write - Have something written to memory when a call returns
 * @regs:	The registers of the task
 * @addr:	Where in user space
 * @data:	What
 * @len:	How much
 *
 * For a handler. Nothing is written where there is no such memory.
 *
 * Context: In @enter; may sleep.
 * Return: 0, or -ENOMEM: then nothing is written of what was said before, either.
 */
int syscall_slowpath_set_write(struct pt_regs *regs, unsigned long addr, const void *data,
			       size_t len)
{
	struct exit_write *write;
	int ret = save_call(regs);

	if (ret)
		return ret;
	write = kmalloc_flex(*write, data, len, GFP_KERNEL_ACCOUNT);
	if (!write) {
		drop_writes(current->syscall_slowpath_saved);
		return -ENOMEM;
	}
	write->len = len;
	write->to = (void __user *)addr;
	memcpy(write->data, data, len);
	write->before = current->syscall_slowpath_saved->writes;
	current->syscall_slowpath_saved->writes = write;
	return 0;
}
EXPORT_SYMBOL_GPL(syscall_slowpath_set_write);

/**
 * syscall_slowpath_set_plan - Say several things that are to become of a call
 * @regs:	The registers of the task
 * @plan:	Them
 *
 * For a handler, which then returns SYSCALL_SLOWPATH_PLAN.
 *
 * Context: In @enter; may sleep.
 * Return: 0, or -ENOMEM.
 */
int syscall_slowpath_set_plan(struct pt_regs *regs, const struct syscall_slowpath_plan *plan)
{
	int ret = save_call(regs);

	if (ret)
		return ret;
	current->syscall_slowpath_saved->plan = *plan;
	return 0;
}
EXPORT_SYMBOL_GPL(syscall_slowpath_set_plan);

/**
 * syscall_slowpath_note - Make a remark on a call
 * @regs:	The registers of the task
 * @text:	What the tracepoint syscall_slowpath_note shows, and BPF programs get
 *
 * Context: In a hook.
 */
void syscall_slowpath_note(struct pt_regs *regs, const char *text)
{
	trace_syscall_slowpath_note(syscall_get_arch(current), syscall_get_nr(current, regs), text);
}
EXPORT_SYMBOL_GPL(syscall_slowpath_note);

/* In syscall_slowpath_srcu. */
static struct syscall_slowpath_group *wants_delay(const struct delayer *by)
{
	struct syscall_slowpath_group *group;

	group = srcu_dereference(current->syscall_slowpath, &syscall_slowpath_srcu);
	if (group != by->group || READ_ONCE(group->nr_ended) != by->nr_ended ||
	    !READ_ONCE(group->enter))
		return NULL;
	return group;
}

static void report_delay(const struct delayer *by, u64 ns)
{
	struct syscall_slowpath_group *group;
	struct srcu_ctr __percpu *scp;

	scp = srcu_read_lock_fast(&syscall_slowpath_srcu);
	group = srcu_dereference(current->syscall_slowpath, &syscall_slowpath_srcu);
	if (group == by->group && group->handler->ops->delayed)
		group->handler->ops->delayed(group, ns);
	srcu_read_unlock_fast(&syscall_slowpath_srcu, scp);
}

/*
 * Signals wait until it is over, as those do of a task that a tracer has stopped:
 * one with a timer of its own would never wait for as long as it should.
 */
static bool delay(const struct delayer *by, u64 ns)
{
	wait_queue_head_t *queue = __var_waitqueue(by->group);
	struct wait_bit_queue_entry wait;
	struct srcu_ctr __percpu *scp;
	ktime_t start = ktime_get();
	ktime_t end = ktime_add_safe(start, ns_to_ktime(ns));
	bool wanted;

	init_wait_var_entry(&wait, by->group, 0);
	do {
		/* Pairs with syscall_slowpath_wake_delayed(). */
		if (prepare_to_wait_event(queue, &wait.wq_entry,
					  TASK_IDLE | TASK_WAKEKILL | TASK_FREEZABLE))
			break;
		scp = srcu_read_lock_fast(&syscall_slowpath_srcu);
		wanted = wants_delay(by);
		srcu_read_unlock_fast(&syscall_slowpath_srcu, scp);
	} while (wanted && schedule_hrtimeout(&end, HRTIMER_MODE_ABS));
	finish_wait(queue, &wait.wq_entry);

	report_delay(by, ktime_to_ns(ktime_sub(ktime_get(), start)));
	return !fatal_signal_pending(current);
}

static void put_back(struct task_struct *task, struct pt_regs *regs,
		     const struct syscall_slowpath_saved *saved)
{
	syscall_set_nr(task, regs, saved->call.nr);
	syscall_set_arguments(task, regs, saved->call.args);
}

/* What seccomp does, so that a task cannot tell the two apart. */
static void trap(struct pt_regs *regs, int data, bool kill)
{
	int nr;

	/* The program's own call, and not what a handler made of it. */
	if (current->syscall_slowpath_saved)
		put_back(current, regs, current->syscall_slowpath_saved);
	nr = syscall_get_nr(current, regs);

	/* The handler, or the core dump, gets the registers of the call. */
	syscall_rollback(current, regs);
	force_sig_seccomp(nr, data, kill);
}

static void kill(struct pt_regs *regs)
{
	/*
	 * A handler of another signal may run first, and its mask block this
	 * one. It will not get further than to its next call.
	 */
	audit_seccomp(own_nr(regs), SIGSYS, SECCOMP_RET_KILL_PROCESS);
	if (save_call(regs))
		do_group_exit(SIGSYS);
	current->syscall_slowpath_saved->dead = true;
	trap(regs, 0, true);
}

/* What is not made does not return what a handler said that it returns. */
static void drop_result(void)
{
	struct syscall_slowpath_saved *saved = current->syscall_slowpath_saved;

	if (saved)
		saved->has_result = false;
}

static noinline void skip(struct pt_regs *regs)
{
	trace_verdict(regs, SYSCALL_SLOWPATH_SKIP, syscall_get_return_value(current, regs));
	drop_result();
}

/* As seccomp does. What kills leaves its record by itself. */
static void audit_call(struct pt_regs *regs, u64 audit)
{
	if (audit & SYSCALL_SLOWPATH_AUDIT)
		audit_seccomp(own_nr(regs), 0, lower_32_bits(audit));
}

static bool follow_plan(struct pt_regs *regs, const struct delayer *by);

/*
 * All but the first two actions. Uses nothing of the handler's. Returns true if
 * the call goes on.
 */
static noinline bool act(struct pt_regs *regs, unsigned long action, const struct delayer *by)
{
	unsigned long value = action >> SYSCALL_SLOWPATH_VALUE_SHIFT;

	action &= BIT(SYSCALL_SLOWPATH_VALUE_SHIFT) - 1;
	if (action == SYSCALL_SLOWPATH_PLAN)
		return follow_plan(regs, by);
	if (action == SYSCALL_SLOWPATH_LOG) {
		trace_verdict(regs, action, 0);
		audit_call(regs, value);
		return true;
	}
	trace_verdict(regs, action, value);

	switch (action) {
	case SYSCALL_SLOWPATH_DELAY:
		return delay(by, value);
	case SYSCALL_SLOWPATH_SIGNAL:
		/* Zero is valid to those who only test for a task. */
		if (value && valid_signal(value))
			send_sig_info(value, SEND_SIG_PRIV, current);
		return !fatal_signal_pending(current);
	case SYSCALL_SLOWPATH_TRAP:
		trap(regs, value, false);
		break;
	case SYSCALL_SLOWPATH_KILL_THREAD:
		if (atomic_read(&current->signal->live) != 1) {
			audit_seccomp(own_nr(regs), SIGSYS, SECCOMP_RET_KILL_THREAD);
			do_exit(SIGSYS);
		}
		fallthrough;
	case SYSCALL_SLOWPATH_KILL_PROCESS:
	default:
		kill(regs);
		break;
	}
	drop_result();
	return false;
}

static bool follow_plan(struct pt_regs *regs, const struct delayer *by)
{
	struct syscall_slowpath_saved *saved = current->syscall_slowpath_saved;
	const struct syscall_slowpath_plan *plan = &saved->plan;
	unsigned long signal = plan->signal;

	saved->planner = *by;
	audit_call(regs, plan->audit);
	if (plan->delay &&
	    !act(regs, SYSCALL_SLOWPATH_DELAY | plan->delay << SYSCALL_SLOWPATH_VALUE_SHIFT, by))
		return false;
	if (signal &&
	    !act(regs, SYSCALL_SLOWPATH_SIGNAL | signal << SYSCALL_SLOWPATH_VALUE_SHIFT, by))
		return false;
	switch (plan->action) {
	case SYSCALL_SLOWPATH_CALL:
		return true;
	case SYSCALL_SLOWPATH_SKIP:
		skip(regs);
		return false;
	/* No plan has another one in it. */
	case SYSCALL_SLOWPATH_PLAN:
		kill(regs);
		return false;
	}
	return act(regs, plan->action, by);
}

/* What it is for is in registers until here: calls that just go on need no stack for it. */
static noinline bool act_for(struct pt_regs *regs, unsigned long action,
			     struct syscall_slowpath_group *group, unsigned long nr_ended)
{
	const struct delayer by = { .group = group, .nr_ended = nr_ended };

	return act(regs, action, &by);
}

/*
 * The kernel has put these calls into the program. Seccomp lets them be as well:
 * without them, the program is gone.
 */
static __always_inline bool is_probe(int nr)
{
#ifdef __NR_uretprobe
	if (unlikely(nr == __NR_uretprobe))
		return !in_compat_syscall();
#endif
#ifdef __NR_uprobe
	if (unlikely(nr == __NR_uprobe))
		return !in_compat_syscall();
#endif
	return false;
}

static __always_inline bool ask(struct pt_regs *regs, u32 arch)
{
	unsigned long (*enter)(struct syscall_slowpath_group *group, struct pt_regs *regs,
			       u32 arch, int nr);
	unsigned long action = SYSCALL_SLOWPATH_CALL;
	int nr = syscall_get_nr(current, regs);
	struct syscall_slowpath_group *group;
	struct srcu_ctr __percpu *scp;
	unsigned long nr_ended = 0;

	/* No call, or a tracer has already said that it is to be skipped. */
	if (unlikely(nr == -1) || is_probe(nr))
		return true;

	scp = srcu_read_lock_fast(&syscall_slowpath_srcu);
	group = srcu_dereference(current->syscall_slowpath, &syscall_slowpath_srcu);
	/* It may be forced, but in no group. */
	if (group) {
		/* Before it is asked: pairs with syscall_slowpath_end_delays(). */
		nr_ended = smp_load_acquire(&group->nr_ended);
		enter = READ_ONCE(group->enter);
		if (enter)
			action = enter(group, regs, arch, nr);
	}
	srcu_read_unlock_fast(&syscall_slowpath_srcu, scp);

	if (likely(action == SYSCALL_SLOWPATH_CALL))
		return true;
	if (action != SYSCALL_SLOWPATH_SKIP)
		return act_for(regs, action, group, nr_ended);

	skip(regs);
	return false;
}

/* In here nothing has to be kept across a call in the other case. */
static noinline bool begin_call_and_ask(struct pt_regs *regs, u32 arch)
{
	if (current->syscall_slowpath_saved->dead)
		do_group_exit(SIGSYS);
	return ask(regs, arch);
}

static __always_inline bool judge(struct pt_regs *regs, u32 arch)
{
	if (unlikely(current->syscall_slowpath_saved))
		return begin_call_and_ask(regs, arch);

	return ask(regs, arch);
}

static bool call_changed(struct pt_regs *regs, const struct call *before)
{
	struct call now;

	get_call(regs, &now);
	return memcmp(&now, before, sizeof(now));
}

static noinline bool judge_traced(struct pt_regs *regs)
{
	return judge(regs, syscall_get_arch(current));
}

/*
 * A tracer behind SECCOMP_RET_TRACE may rewrite the call that the handler let
 * through. Seccomp judges that by itself, and the handler does here.
 */
static noinline bool permit_by_seccomp(struct pt_regs *regs)
{
	struct call call;

	for (;;) {
		get_call(regs, &call);
		if (!__seccomp_permit_syscall())
			break;
		if (!call_changed(regs, &call))
			return true;

		drop_result();
		if (current->syscall_slowpath_saved) {
			current->syscall_slowpath_saved->plan.exit_delay = 0;
			drop_writes(current->syscall_slowpath_saved);
		}
		get_call(regs, &call);
		if (!judge_traced(regs))
			break;
		if (!call_changed(regs, &call))
			return true;
	}
	drop_result();
	return false;
}

/**
 * syscall_slowpath_enter - Entry work: the handler, then seccomp
 * @regs:	The registers of the task
 * @arch:	The architecture of the call, AUDIT_ARCH_*
 *
 * For a task that has no other entry work.
 *
 * Context: Syscall entry, in the task, IRQs on; may sleep, or not return.
 * Return: The number of the call to be made, which @regs has; -1 for none.
 */
long syscall_slowpath_enter(struct pt_regs *regs, u32 arch)
{
	if (!judge(regs, arch))
		return -1;
	/* Even if there was no filter: it may have slept, and another thread have given it one. */
	if (unlikely(test_syscall_work(SECCOMP)) && !permit_by_seccomp(regs))
		return -1;
	return syscall_get_nr(current, regs);
}

/**
 * syscall_slowpath_enter_traced - Entry work: the handler, then seccomp
 * @regs:	The registers of the task, which a tracer may have changed
 *
 * The handler runs first, so that seccomp judges what it rewrites.
 *
 * Context: Syscall entry, in the task, IRQs on; may sleep, or not return.
 * Return: True if the call may be made.
 */
bool syscall_slowpath_enter_traced(struct pt_regs *regs)
{
	if (!judge_traced(regs))
		return false;

	return !test_syscall_work(SECCOMP) || permit_by_seccomp(regs);
}

/* The registers of a new task are a copy of its parent's, which is current. */
void syscall_slowpath_fork_call(struct task_struct *child)
{
	const struct syscall_slowpath_saved *saved = current->syscall_slowpath_saved;

	if (user_mode(task_pt_regs(child)))
		put_back(child, task_pt_regs(child), saved);
}

/* The current task has nothing to put back any more. */
void syscall_slowpath_forget_call(void)
{
	struct syscall_slowpath_saved *saved = current->syscall_slowpath_saved;

	syscall_slowpath_lock_task(current);
	WRITE_ONCE(current->syscall_slowpath_saved, NULL);
	syscall_slowpath_update_work(current);
	syscall_slowpath_unlock_task(current);
	drop_writes(saved);
	kfree(saved);
}

/**
 * syscall_slowpath_condemn - Let a task that is being killed make no more calls
 *
 * For a task whose call was changed: a signal handler of its own may run first.
 *
 * Context: In the task.
 */
void syscall_slowpath_condemn(void)
{
	struct syscall_slowpath_saved *saved = current->syscall_slowpath_saved;

	if (saved)
		saved->dead = true;
}

static void do_writes(const struct syscall_slowpath_saved *saved)
{
	const struct exit_write *write;

	for (write = saved->writes; write; write = write->before) {
		/* There may be no such memory. */
		if (copy_to_user(write->to, write->data, write->len))
			continue;
	}
}

static void restore_call(struct pt_regs *regs)
{
	struct syscall_slowpath_saved *saved = current->syscall_slowpath_saved;

	if (saved->dead)
		return;

	/* A sigreturn has brought others. */
	if (saved->ip == instruction_pointer(regs) && saved->sp == user_stack_pointer(regs)) {
		put_back(current, regs, saved);
		if (saved->has_result)
			syscall_set_return_value(current, regs, 0, saved->result);
		do_writes(saved);
		if (saved->plan.exit_delay) {
			trace_verdict(regs, SYSCALL_SLOWPATH_DELAY, saved->plan.exit_delay);
			delay(&saved->planner, saved->plan.exit_delay);
		}
	}
	syscall_slowpath_forget_call();
}

/* The classes of exit work, and the flags that mean them. */
static const struct {
	unsigned long	syscall_work;
	unsigned long	ti_work;
} exit_class_flags[] = {
	[SYSCALL_SLOWPATH_EXIT_RESCHEDULE] = { 0, _TIF_NEED_RESCHED | _TIF_NEED_RESCHED_LAZY },
	[SYSCALL_SLOWPATH_EXIT_TRACE] = { SYSCALL_WORK_SYSCALL_TRACE, 0 },
	[SYSCALL_SLOWPATH_EXIT_STEP] = { SYSCALL_WORK_SYSCALL_EXIT_TRAP, 0 },
	[SYSCALL_SLOWPATH_EXIT_TRACEPOINT] = { SYSCALL_WORK_SYSCALL_TRACEPOINT, 0 },
	[SYSCALL_SLOWPATH_EXIT_AUDIT] = { SYSCALL_WORK_SYSCALL_AUDIT, 0 },
	[SYSCALL_SLOWPATH_EXIT_UPROBE] = { 0, _TIF_UPROBE },
	[SYSCALL_SLOWPATH_EXIT_SIGNAL] = { 0, _TIF_SIGPENDING | _TIF_NOTIFY_SIGNAL },
	[SYSCALL_SLOWPATH_EXIT_NOTIFY_RESUME] = { 0, _TIF_NOTIFY_RESUME },
	[SYSCALL_SLOWPATH_EXIT_PATCH_PENDING] = { 0, _TIF_PATCH_PENDING },
	[SYSCALL_SLOWPATH_EXIT_USER_RETURN_NOTIFY] = { 0, _TIF_USER_RETURN_NOTIFY },
};

#define EXIT_WORK_TO_CLASSIFY	((SYSCALL_WORK_EXIT & ~SYSCALL_WORK_SYSCALL_SLOWPATH) | \
				 SYSCALL_SLOWPATH_PASSED)

/* The exit hook, where there is work to be classified. */
static noinline bool exit_with_work(struct syscall_slowpath_group *group, struct pt_regs *regs,
				    unsigned long work, unsigned long ti_work)
{
	bool (*exit_work)(struct syscall_slowpath_group *group, struct pt_regs *regs,
			  unsigned int classes);
	unsigned int classes = work & SYSCALL_SLOWPATH_PASSED;

	for (int i = 0; i < ARRAY_SIZE(exit_class_flags); i++) {
		if (work & exit_class_flags[i].syscall_work ||
		    ti_work & exit_class_flags[i].ti_work)
			classes |= BIT(i);
	}
	exit_work = READ_ONCE(group->exit_work);
	return !exit_work || exit_work(group, regs, classes);
}

static __always_inline bool exit_work(struct pt_regs *regs, unsigned long work)
{
	bool (*exit_work)(struct syscall_slowpath_group *group, struct pt_regs *regs,
			  unsigned int classes);
	struct syscall_slowpath_group *group;
	struct srcu_ctr __percpu *scp;
	unsigned long ti_work;
	bool quick = true;

	scp = srcu_read_lock_fast(&syscall_slowpath_srcu);
	group = srcu_dereference(current->syscall_slowpath, &syscall_slowpath_srcu);
	/* It may have left a moment ago. */
	if (group) {
		exit_work = READ_ONCE(group->exit_work);
		ti_work = read_thread_flags();
		/* Nearly all exits have none, and are not looked at closer. */
		if (unlikely(work & EXIT_WORK_TO_CLASSIFY ||
			     ti_work & (EXIT_TO_USER_MODE_WORK | _TIF_USER_RETURN_NOTIFY)))
			quick = exit_with_work(group, regs, work, ti_work);
		else if (exit_work)
			quick = exit_work(group, regs, 0);
	}
	srcu_read_unlock_fast(&syscall_slowpath_srcu, scp);

	return quick;
}

static noinline bool restore_and_exit_work(struct pt_regs *regs, unsigned long work)
{
	restore_call(regs);
	return exit_work(regs, work);
}

/* Where there is something to do: see syscall_slowpath_exit_work(). */
bool __syscall_slowpath_exit_work(struct pt_regs *regs, unsigned long work)
{
	if (unlikely(current->syscall_slowpath_saved))
		return restore_and_exit_work(regs, work);

	return exit_work(regs, work);
}
