/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Per-task handlers on the syscall slow path.
 *
 * A handler is a set of C functions that see, and may decide, the syscalls of
 * the tasks in its groups. Joining one needs nothing from the task: it takes
 * effect at its next syscall entry or exit, whatever it is doing.
 */
#ifndef _LINUX_SYSCALL_SLOWPATH_H
#define _LINUX_SYSCALL_SLOWPATH_H

#include <linux/bits.h>
#include <linux/compiler.h>
#include <linux/list.h>
#include <linux/pid_types.h>
#include <linux/sched.h>
#include <linux/spinlock_types.h>
#include <linux/types.h>
#include <linux/workqueue_types.h>
#include <uapi/linux/seccomp.h>

struct pid;
struct pt_regs;
struct seq_file;
struct syscall_slowpath_group;

/**
 * enum syscall_slowpath_action - What is to become of a call
 * @SYSCALL_SLOWPATH_CALL:	It goes on.
 * @SYSCALL_SLOWPATH_SKIP:	It is not made. Its result is in the return value
 *				register (preset to -ENOSYS).
 * @SYSCALL_SLOWPATH_DELAY:	It goes on after that many nanoseconds, or when
 *				syscall_slowpath_end_delays() is called, or the
 *				group is switched off, or the task leaves it.
 *				Only a signal that kills the task comes before.
 * @SYSCALL_SLOWPATH_SIGNAL:	It goes on, and the task is sent this signal before.
 * @SYSCALL_SLOWPATH_TRAP:	As SECCOMP_RET_TRAP, with this value in si_errno.
 * @SYSCALL_SLOWPATH_KILL_THREAD: As SECCOMP_RET_KILL_THREAD.
 * @SYSCALL_SLOWPATH_KILL_PROCESS: As SECCOMP_RET_KILL_PROCESS.
 * @SYSCALL_SLOWPATH_LOG:	It goes on, and the tracepoint says so. With
 *				SYSCALL_SLOWPATH_AUDIT and a code as its value there
 *				is an audit record, too.
 * @SYSCALL_SLOWPATH_NUMBER:	Only for the tracepoint: @enter made another call of it.
 * @SYSCALL_SLOWPATH_ARGUMENT:	Only for the tracepoint: @enter set an argument.
 * @SYSCALL_SLOWPATH_RESULT:	Only for the tracepoint: @enter set the result.
 * @SYSCALL_SLOWPATH_PLAN:	What syscall_slowpath_set_plan() has said; the tracepoint
 *				has each part of it.
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
	SYSCALL_SLOWPATH_PLAN,
};

/* An action's value is above its number, so that both return in one register. */
#define SYSCALL_SLOWPATH_VALUE_SHIFT	8

/* Above a code that is SECCOMP_RET_*: there is to be an audit record with it. */
#define SYSCALL_SLOWPATH_AUDIT		0x100000000ULL

/**
 * struct syscall_slowpath_plan - What is to become of a call, one after the other
 * @audit:	First, with SYSCALL_SLOWPATH_AUDIT and a code there is an audit record
 * @delay:	Then, as SYSCALL_SLOWPATH_DELAY with so many nanoseconds, if not 0
 * @signal:	Then, as SYSCALL_SLOWPATH_SIGNAL, if not 0
 * @action:	Then, another action and its value
 * @exit_delay:	When it returns, made or not, it is delayed again by so many
 *		nanoseconds, if not 0; until what ends any delay
 */
struct syscall_slowpath_plan {
	u64			audit;
	u64			delay;
	u64			exit_delay;
	unsigned long		action;
	int			signal;
};

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
 *		Runs in the task that makes the call,
 *		IRQs and preemption on; may sleep and may be traced.
 * @exit_work:	Runs once for each syscall but those that pass, before the tracing and ptrace work
 *		on exit, in the context of @enter; not while it is not wanted, see
 *		syscall_slowpath_set_exit_work(). @classes has a bit for each
 *		enum syscall_slowpath_exit_class of the work that there was when
 *		this exit began, and SYSCALL_SLOWPATH_PASSED if @enter was not asked.
 *		May change the result. Returns true if the quick
 *		return instruction may be used, false if user space must get
 *		every register from @regs: if more than the result was changed,
 *		or for any other reason.
 *		The exit may be one whose entry was never seen: of a call that
 *		slept while the task joined, or a new child's first return.
 *		The call may not have been made: a tracer may have emulated it.
 * @delayed:	A delay that @enter asked for is over: the task has waited for
 *		@ns nanoseconds. In the context of @enter. Not called if the
 *		task has left meanwhile.
 * @left:	Only for a group of the kind SYSCALL_SLOWPATH_SINGLE, which was
 *		closed because its last task has left: no other will join it.
 *		Hooks may still run in one that was taken off it. Process context,
 *		after an exit that of a workqueue; may sleep, but must not wait
 *		for syscall_slowpath_unregister().
 * @release:	The group is closed, @left has returned, and no callback runs with
 *		it: it may be freed. Called once, from a workqueue; may sleep.
 */
struct syscall_slowpath_ops {
	unsigned long (*enter)(struct syscall_slowpath_group *group, struct pt_regs *regs,
			       u32 arch, int nr);
	bool	(*exit_work)(struct syscall_slowpath_group *group, struct pt_regs *regs,
			     unsigned int classes);
	void	(*delayed)(struct syscall_slowpath_group *group, u64 ns);
	void	(*left)(struct syscall_slowpath_group *group);
	void	(*release)(struct syscall_slowpath_group *group);
};

/* Above the numbers of all calls that any architecture's fast path makes. */
#define SYSCALL_SLOWPATH_NR_PASSES	512

/**
 * struct syscall_slowpath_pass - Which calls of a group's tasks are made without a hook
 * @lines:	For each of SYSCALL_SLOWPATH_NR_PASSES numbers of 64-bit calls, which of
 *		@hits counts the call; negative if @enter has to be asked
 * @hits:	Counters of each CPU
 * @made:	One more, of all such calls
 *
 * For calls that the assembly fast path could make, of a task that has no other work
 * than filters of seccomp that allow the call, too.
 * At the exit of one the hook runs only if C has to end the call, as it does if there
 * is work by then, and gets SYSCALL_SLOWPATH_PASSED.
 */
struct syscall_slowpath_pass {
	const s16	*lines;
	u64 __percpu	*hits;
	u64 __percpu	*made;
};

/* Neither a bit of syscall_work nor that of a class: its entry hook was not asked. */
#define SYSCALL_SLOWPATH_PASSED		0x80000000U

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
 * The other members are private to kernel/entry/syscall_slowpath_group.c.
 */
struct syscall_slowpath_handler {
	const struct syscall_slowpath_ops	*ops;
	/* private: */
	bool					enabled;
	bool					closing;
	struct list_head			node;
	/* Those that were not released; and, in a list, those that are not closed. */
	atomic_t				nr_groups;
	struct list_head			groups;
};

/**
 * enum syscall_slowpath_follow - Which new tasks come to their parent's group
 * @SYSCALL_SLOWPATH_FOLLOW_ALL:	Children and threads.
 * @SYSCALL_SLOWPATH_FOLLOW_THREADS:	Threads; children are free.
 * @SYSCALL_SLOWPATH_FOLLOW_NONE:	None.
 *
 * For tasks that have joined. A cgroup's group has each task of the cgroup.
 */
enum syscall_slowpath_follow {
	SYSCALL_SLOWPATH_FOLLOW_ALL,
	SYSCALL_SLOWPATH_FOLLOW_THREADS,
	SYSCALL_SLOWPATH_FOLLOW_NONE,
};

/**
 * enum syscall_slowpath_kind - How long a group lasts
 * @SYSCALL_SLOWPATH_LASTING:	Until it is closed. Its name is its alone.
 * @SYSCALL_SLOWPATH_SINGLE:	Until the last task leaves that it ever had. Nobody
 *				finds it by its name, which others may have, too.
 */
enum syscall_slowpath_kind {
	SYSCALL_SLOWPATH_LASTING,
	SYSCALL_SLOWPATH_SINGLE,
};

/* With the NUL. */
#define SYSCALL_SLOWPATH_NAME_LEN	64

/**
 * struct syscall_slowpath_group - What a set of tasks has in common
 *
 * Embedded in the handler's own data, and zeroed before it is created. All members
 * are private to kernel/entry/syscall_slowpath*.c.
 */
struct syscall_slowpath_group {
	/* private: */
	/* What each call reads comes first; only who administers the group writes to it. */
	struct syscall_slowpath_handler		*handler;
	/* Those of the handler, or NULL where it has none or they are not to be called now. */
	unsigned long (*enter)(struct syscall_slowpath_group *group, struct pt_regs *regs,
			       u32 arch, int nr);
	bool	(*exit_work)(struct syscall_slowpath_group *group, struct pt_regs *regs,
			     unsigned int classes);
	/* What assembly goes by, with IRQs off; NULL if hooks are to be asked about each call. */
	const struct syscall_slowpath_pass	*pass;
	/* Another each time that delays are ended: those that were asked for before are over. */
	unsigned long				nr_ended;
	char					name[SYSCALL_SLOWPATH_NAME_LEN];
	enum syscall_slowpath_kind		kind;

	/* Protects what follows, and who is in the group: see syscall_slowpath.c. */
	spinlock_t				lock;
	struct list_head			tasks;
	unsigned int				nr_tasks;
	/* Those that walk @tasks now. */
	struct list_head			iters;
	enum syscall_slowpath_follow		follow;
	/* What @pass is where hooks run. */
	const struct syscall_slowpath_pass	*wanted_pass;
	/* Its own switches; and whether its tasks are steered, which needs the handler's, too. */
	bool					enabled;
	bool					wants_exit_work;
	bool					active;
	/* No task will join it any more. */
	bool					closed;

	/* With the handler's other groups, with all lasting ones, and cgroups that have it. */
	struct list_head			node;
	struct list_head			named;
	struct list_head			cgroups;
	struct work_struct			left_work;
	struct syscall_slowpath_deferred	release;
};

/**
 * struct syscall_slowpath_iter - A walk over the tasks of a group
 *
 * All members are private to kernel/entry/syscall_slowpath*.c.
 */
struct syscall_slowpath_iter {
	/* private: */
	struct syscall_slowpath_group		*group;
	struct list_head			node;
	/* The task to come, or the head of the list. */
	struct list_head			*next;
};

/* For the entry code. */
long syscall_slowpath_enter(struct pt_regs *regs, u32 arch);
bool syscall_slowpath_enter_traced(struct pt_regs *regs);
bool __syscall_slowpath_exit_work(struct pt_regs *regs, unsigned long work);

/* Of task_struct::syscall_slowpath_flags: its group has an exit hook, which is wanted. */
#define SYSCALL_SLOWPATH_EXITS		BIT(2)

#ifdef CONFIG_SYSCALL_SLOWPATH

/**
 * syscall_slowpath_exit_work - Exit work: the handler
 * @regs:	The registers of the task
 * @work:	The task's syscall_work, and SYSCALL_SLOWPATH_PASSED if that is so
 *
 * Context: Syscall exit, in the task, IRQs on; may sleep.
 * Return: False if every register must be restored from @regs.
 */
static __always_inline bool syscall_slowpath_exit_work(struct pt_regs *regs, unsigned long work)
{
	/* Often there is nothing to be put back, and no hook. */
	if (likely(!current->syscall_slowpath_saved &&
		   !(READ_ONCE(current->syscall_slowpath_flags) & SYSCALL_SLOWPATH_EXITS)))
		return true;
	return __syscall_slowpath_exit_work(regs, work);
}

int syscall_slowpath_register(struct syscall_slowpath_handler *handler);
void syscall_slowpath_unregister(struct syscall_slowpath_handler *handler);
void syscall_slowpath_enable(struct syscall_slowpath_handler *handler, bool enable);
int syscall_slowpath_detach(struct syscall_slowpath_handler *handler, struct pid *pid);
void syscall_slowpath_detach_all(struct syscall_slowpath_handler *handler);
void syscall_slowpath_flush_left(void);

int syscall_slowpath_create(struct syscall_slowpath_handler *handler,
			    struct syscall_slowpath_group *group, const char *name,
			    enum syscall_slowpath_kind kind,
			    enum syscall_slowpath_follow follow);
int syscall_slowpath_close(struct syscall_slowpath_group *group, bool force);
int syscall_slowpath_join(struct syscall_slowpath_group *group, struct pid *pid,
			  enum pid_type type);
int syscall_slowpath_leave(struct syscall_slowpath_group *group, struct pid *pid,
			   enum pid_type type);
void syscall_slowpath_leave_all(struct syscall_slowpath_group *group);
struct pid *syscall_slowpath_pid_of_fd(unsigned int fd, enum pid_type *type);
void syscall_slowpath_set_follow(struct syscall_slowpath_group *group,
				 enum syscall_slowpath_follow follow);
void syscall_slowpath_enable_group(struct syscall_slowpath_group *group, bool enable);
void syscall_slowpath_set_exit_work(struct syscall_slowpath_group *group, bool wanted);
void syscall_slowpath_set_pass(struct syscall_slowpath_group *group,
			       const struct syscall_slowpath_pass *pass);
void syscall_slowpath_end_delays(struct syscall_slowpath_group *group);
unsigned int syscall_slowpath_nr_tasks(struct syscall_slowpath_group *group);
void syscall_slowpath_iter_start(struct syscall_slowpath_iter *iter,
				 struct syscall_slowpath_group *group);
struct task_struct *syscall_slowpath_iter_next(struct syscall_slowpath_iter *iter);
void syscall_slowpath_iter_end(struct syscall_slowpath_iter *iter);

void syscall_slowpath_force_all(bool force);
int syscall_slowpath_set_number(struct pt_regs *regs, int nr);
int syscall_slowpath_set_argument(struct pt_regs *regs, unsigned int index, unsigned long value);
int syscall_slowpath_set_result(struct pt_regs *regs, long result);
int syscall_slowpath_set_write(struct pt_regs *regs, unsigned long addr, const void *data,
			       size_t len);
int syscall_slowpath_set_plan(struct pt_regs *regs, const struct syscall_slowpath_plan *plan);
void syscall_slowpath_note(struct pt_regs *regs, const char *text);
void syscall_slowpath_remember(u64 what);
u64 syscall_slowpath_recall(u64 *ns);

void syscall_slowpath_audit(const char *op, const char *name, int err);
void syscall_slowpath_defer(struct syscall_slowpath_deferred *deferred);
void syscall_slowpath_flush_deferred(void);

/* For other entry code. */
void syscall_slowpath_condemn(void);

/* For exec of what gives privileges. */
bool syscall_slowpath_capable(void);

/* For fork, exec and exit. */
void syscall_slowpath_dup(struct task_struct *child);
void syscall_slowpath_fork(struct task_struct *child, u64 clone_flags);
void syscall_slowpath_exec(void);
void syscall_slowpath_exit(struct task_struct *task);

/* For /proc/PID/status. */
void syscall_slowpath_status(struct seq_file *m, struct task_struct *task);

#else

static inline bool syscall_slowpath_exit_work(struct pt_regs *regs, unsigned long work)
{
	return true;
}

static inline void syscall_slowpath_condemn(void) { }
static inline bool syscall_slowpath_capable(void) { return true; }
static inline void syscall_slowpath_dup(struct task_struct *child) { }
static inline void syscall_slowpath_fork(struct task_struct *child, u64 clone_flags) { }
static inline void syscall_slowpath_exec(void) { }
static inline void syscall_slowpath_exit(struct task_struct *task) { }
static inline void syscall_slowpath_status(struct seq_file *m, struct task_struct *task) { }

#endif /* CONFIG_SYSCALL_SLOWPATH */

#endif /* _LINUX_SYSCALL_SLOWPATH_H */
