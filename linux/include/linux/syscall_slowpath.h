/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Per-task handlers on the syscall slow path.
 *
 * A handler is a set of C functions that see, and may decide, the syscalls of
 * the tasks attached to it. Attaching needs nothing from the task: it takes
 * effect at its next syscall entry or exit, whatever it is doing.
 */
#ifndef _LINUX_SYSCALL_SLOWPATH_H
#define _LINUX_SYSCALL_SLOWPATH_H

#include <linux/compiler_types.h>
#include <linux/list.h>
#include <linux/types.h>
#include <linux/workqueue_types.h>

struct cred;
struct pt_regs;
struct syscall_slowpath_attachment;
struct task_struct;
struct user_namespace;

/**
 * enum syscall_slowpath_action - What is to become of a call
 * @SYSCALL_SLOWPATH_CALL:	It goes on.
 * @SYSCALL_SLOWPATH_SKIP:	It is not made. Its result is in the return value
 *				register (preset to -ENOSYS).
 * @SYSCALL_SLOWPATH_DELAY:	It goes on after that many nanoseconds, or when
 *				syscall_slowpath_end_delays() is called, or the
 *				attachment is switched off, or the task leaves
 *				it. Only a signal that kills the task comes
 *				before.
 * @SYSCALL_SLOWPATH_SIGNAL:	It is not made and fails with EINTR, and the
 *				task is sent this signal.
 * @SYSCALL_SLOWPATH_TRAP:	As SECCOMP_RET_TRAP, with this value in si_errno.
 * @SYSCALL_SLOWPATH_KILL_THREAD: As SECCOMP_RET_KILL_THREAD.
 * @SYSCALL_SLOWPATH_KILL_PROCESS: As SECCOMP_RET_KILL_PROCESS.
 * @SYSCALL_SLOWPATH_LOG:	It goes on, and the tracepoint says so.
 * @SYSCALL_SLOWPATH_NUMBER:	Only for the tracepoint: @enter made another call of it.
 * @SYSCALL_SLOWPATH_ARGUMENT:	Only for the tracepoint: @enter set an argument.
 * @SYSCALL_SLOWPATH_RESULT:	Only for the tracepoint: @enter set the result.
 *
 * All but the first two are done when @enter has returned, and nothing that can
 * go away with the handler is used any more. The tracepoint
 * syscall_slowpath_verdict has all of them but the first.
 */
enum syscall_slowpath_action {
	SYSCALL_SLOWPATH_CALL,
	SYSCALL_SLOWPATH_SKIP,
	SYSCALL_SLOWPATH_DELAY,
	SYSCALL_SLOWPATH_SIGNAL,
	SYSCALL_SLOWPATH_TRAP,
	SYSCALL_SLOWPATH_KILL_THREAD,
	SYSCALL_SLOWPATH_KILL_PROCESS,
	SYSCALL_SLOWPATH_LOG,
	SYSCALL_SLOWPATH_NUMBER,
	SYSCALL_SLOWPATH_ARGUMENT,
	SYSCALL_SLOWPATH_RESULT,
};

/* An action's value is above its number, so that both return in one register. */
#define SYSCALL_SLOWPATH_VALUE_SHIFT	8

/**
 * enum syscall_slowpath_exit_class - What the exit of a system call has to do
 *
 * Which bits of syscall_work and of the thread flags mean which is said once,
 * in kernel/entry/syscall_slowpath_call.c.
 */
enum syscall_slowpath_exit_class {
	SYSCALL_SLOWPATH_EXIT_RESCHEDULE,
	SYSCALL_SLOWPATH_EXIT_TRACE,
	SYSCALL_SLOWPATH_EXIT_STEP,
	SYSCALL_SLOWPATH_EXIT_TRACEPOINT,
	SYSCALL_SLOWPATH_EXIT_AUDIT,
	SYSCALL_SLOWPATH_EXIT_UPROBE,
	SYSCALL_SLOWPATH_EXIT_SIGNAL,
	SYSCALL_SLOWPATH_EXIT_NOTIFY_RESUME,
	SYSCALL_SLOWPATH_EXIT_PATCH_PENDING,
	SYSCALL_SLOWPATH_EXIT_USER_RETURN_NOTIFY,
};

/**
 * struct syscall_slowpath_ops - What a handler does
 *
 * Every member is an ordinary C function and every one may be NULL. @regs is
 * always complete: no register is left out on any path that calls these.
 *
 * @enter:	Judge the syscall that @regs describes, before seccomp sees it.
 *		@arch (AUDIT_ARCH_*) and @nr are those of @regs. Returns an
 *		action and its value. May change the call by
 *		syscall_slowpath_set_number() and its like, and not otherwise.
 *		Runs in the attached task,
 *		IRQs and preemption on; may sleep and may be traced.
 * @exit_work:	Runs once for each syscall, before the tracing and ptrace work
 *		on exit, in the context of @enter. @classes has a bit for each
 *		enum syscall_slowpath_exit_class of the work that there was when
 *		this exit began. May change the result. Returns true if the quick
 *		return instruction may be used, false if user space must get
 *		every register from @regs: if more than the result was changed,
 *		or for any other reason.
 *		The exit may be one whose entry was never seen: of a call that
 *		slept while the task was attached, or a new child's first return.
 *		The call may not have been made: a tracer may have emulated it.
 * @delayed:	A delay that @enter asked for is over: the task has waited for
 *		@ns nanoseconds. In the context of @enter. Not called if the
 *		task has left meanwhile.
 * @fork:	Decide whether @child shares its parent's attachment. Called
 *		in the parent, with locks held: must not sleep. NULL: it does not.
 * @left:	The last task has left @att, by an exit or because it was detached;
 *		no other will share it. Hooks may still run in one that was detached.
 *		Process context, after an exit that of a workqueue; may sleep, but
 *		must not wait for syscall_slowpath_unregister().
 * @release:	@left has returned and no callback runs with @att: it may be freed.
 *		Called once, from a workqueue; may sleep.
 */
struct syscall_slowpath_ops {
	unsigned long (*enter)(struct syscall_slowpath_attachment *att, struct pt_regs *regs,
			       u32 arch, int nr);
	bool	(*exit_work)(struct syscall_slowpath_attachment *att, struct pt_regs *regs,
			     unsigned int classes);
	void	(*delayed)(struct syscall_slowpath_attachment *att, u64 ns);
	bool	(*fork)(struct syscall_slowpath_attachment *att, struct task_struct *child,
			u64 clone_flags);
	void	(*left)(struct syscall_slowpath_attachment *att);
	void	(*release)(struct syscall_slowpath_attachment *att);
};

/**
 * struct syscall_slowpath_deferred - A call for when no hook that runs now does
 * @func:	The function. Called from a workqueue; may sleep, and free this, but
 *		not wait for another one.
 */
struct syscall_slowpath_deferred {
	void		(*func)(struct syscall_slowpath_deferred *deferred);
	/* private: */
	union {
		struct rcu_head		rcu;
		struct work_struct	work;
	};
};

/**
 * struct syscall_slowpath_handler - A registered user of the slow path
 * @ops:	Its functions
 *
 * The other members are private to kernel/entry/syscall_slowpath.c.
 */
struct syscall_slowpath_handler {
	const struct syscall_slowpath_ops	*ops;
	/* private: */
	bool					enabled;
	bool					closing;
	/* Those that were not released; and, in a list, those that have tasks. */
	atomic_t				nr_attachments;
	struct list_head			attachments;
};

/**
 * struct syscall_slowpath_attachment - What one or more tasks are attached to
 *
 * Embedded in the handler's own data, zeroed before it is attached. Used for
 * one task and the children that come to share it; never attached again.
 * All members are private to kernel/entry/syscall_slowpath.c.
 */
struct syscall_slowpath_attachment {
	/* private: */
	struct syscall_slowpath_handler		*handler;
	/* Those of the handler, or NULL where it has none or is not to be called now. */
	unsigned long (*enter)(struct syscall_slowpath_attachment *att, struct pt_regs *regs,
			       u32 arch, int nr);
	bool	(*exit_work)(struct syscall_slowpath_attachment *att, struct pt_regs *regs,
			     unsigned int classes);
	struct list_head			node;
	struct list_head			tasks;
	unsigned int				nr_tasks;
	/* Of who attached it. */
	const struct cred			*cred;
	/* Another each time that delays are ended: those that were asked for before are over. */
	unsigned long				nr_ended;
	bool					disabled;
	/* No other task will share it. */
	bool					closing;
	struct work_struct			left_work;
	struct syscall_slowpath_deferred	release;
};

/* For the entry code. */
long syscall_slowpath_enter(struct pt_regs *regs, u32 arch);
bool syscall_slowpath_enter_traced(struct pt_regs *regs);
bool syscall_slowpath_exit_work(struct pt_regs *regs, unsigned long work);

#ifdef CONFIG_SYSCALL_SLOWPATH

int syscall_slowpath_register(struct syscall_slowpath_handler *handler);
void syscall_slowpath_unregister(struct syscall_slowpath_handler *handler);

int syscall_slowpath_attach(struct syscall_slowpath_handler *handler,
			    struct syscall_slowpath_attachment *att,
			    struct task_struct *task);
int syscall_slowpath_detach(struct syscall_slowpath_handler *handler,
			    struct task_struct *task);
void syscall_slowpath_detach_all(struct syscall_slowpath_handler *handler);
void syscall_slowpath_flush_left(void);

void syscall_slowpath_enable(struct syscall_slowpath_handler *handler, bool enable);
void syscall_slowpath_enable_attachment(struct syscall_slowpath_attachment *att, bool enable);
void syscall_slowpath_end_delays(struct syscall_slowpath_attachment *att);
void syscall_slowpath_force_all(bool force);
int syscall_slowpath_set_number(struct pt_regs *regs, int nr);
int syscall_slowpath_set_argument(struct pt_regs *regs, unsigned int index, unsigned long value);
int syscall_slowpath_set_result(struct pt_regs *regs, long result);
void syscall_slowpath_note(struct pt_regs *regs, const char *text);

unsigned int syscall_slowpath_nr_tasks(struct syscall_slowpath_attachment *att);
void syscall_slowpath_audit(const char *op, const char *name, int err);
void syscall_slowpath_defer(struct syscall_slowpath_deferred *deferred);
void syscall_slowpath_flush_deferred(void);

/* For other entry code. */
void syscall_slowpath_condemn(void);

/* For exec of what gives privileges. */
bool syscall_slowpath_capable(struct user_namespace *ns);

/* For fork, exec and exit. */
void syscall_slowpath_dup(struct task_struct *child);
void syscall_slowpath_fork(struct task_struct *child, u64 clone_flags);
void syscall_slowpath_exec(void);
void syscall_slowpath_exit(struct task_struct *task);

#else

static inline void syscall_slowpath_condemn(void) { }
static inline bool syscall_slowpath_capable(struct user_namespace *ns) { return true; }
static inline void syscall_slowpath_dup(struct task_struct *child) { }
static inline void syscall_slowpath_fork(struct task_struct *child, u64 clone_flags) { }
static inline void syscall_slowpath_exec(void) { }
static inline void syscall_slowpath_exit(struct task_struct *task) { }

#endif /* CONFIG_SYSCALL_SLOWPATH */

#endif /* _LINUX_SYSCALL_SLOWPATH_H */
