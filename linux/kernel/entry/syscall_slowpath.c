// SPDX-License-Identifier: GPL-2.0
/*
 * Tasks with handlers on the syscall slow path.
 *
 * A task points to the group that it is in. Three locks protect that pointer, the
 * one of the group that it leaves, the one of the group that it comes to, and its
 * own, syscall_slowpath_lock: it changes with all of them held, so each of them keeps
 * it. A group's lock protects the list of its tasks, too, and the task's own what
 * follows from the pointer: syscall_slowpath_flags, and the bit below. A task's own
 * hooks read the pointer without a lock, inside syscall_slowpath_srcu: a group is
 * released a grace period after it was closed and its last task has left.
 *
 * SYSCALL_WORK_SYSCALL_SLOWPATH in a task's syscall_work follows from its group, from
 * nr_forced, and from whether its call was changed, because user space relies on its
 * registers; and SYSCALL_SLOWPATH_EXITS in its flags from the first alone.
 * syscall_slowpath_update_work() is the only place that sets them. Whoever
 * changes one of these takes the lock of each task concerned afterwards, so the last
 * to derive the bits has seen the last change. They are hints to the entry code: a hook
 * that runs for a task that has just left finds no group, and does nothing. A task
 * that goes from one group to another keeps the first, and its pointer changes in one store:
 * each of its calls is judged by the one or by the other.
 *
 * Lock order: tasklist_lock, locks of groups in the order of their addresses,
 * syscall_slowpath_lock of a task. All with IRQs off, because IRQs take tasklist_lock
 * for reading. Tasks join with that held for reading: a new task becomes visible, and
 * comes to its parent's group, within one section of it, before it can run, and nobody
 * who joins a process misses it.
 *
 * "IRQs off" and "atomic" below are what they are without PREEMPT_RT, where a task
 * that holds these locks can be preempted, but must not sleep either.
 */
#include <linux/entry-common.h>
#include <linux/export.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/seq_file.h>

#include <trace/events/syscall_slowpath.h>

#include "syscall_slowpath.h"

DEFINE_SRCU_FAST(syscall_slowpath_srcu);
/* How many users want all tasks on the slow path. */
static unsigned int nr_forced;
/* Taken by who changes that. */
static DEFINE_MUTEX(force_mutex);

/**
 * syscall_slowpath_is_forced - Whether all tasks are kept off the fast path
 *
 * Context: Any context.
 */
bool syscall_slowpath_is_forced(void)
{
	return READ_ONCE(nr_forced);
}

/* With the task's lock held, or that of its group. */
static struct syscall_slowpath_group *group_of(struct task_struct *task)
{
	return rcu_dereference_protected(task->syscall_slowpath, true);
}

/**
 * syscall_slowpath_lock_task - Keep what a task has of the slow path as it is
 * @task:	The task, which the caller keeps from being freed
 *
 * Context: Process context with IRQs on, which are off until
 * syscall_slowpath_unlock_task(). No lock of a group is taken inside.
 */
void syscall_slowpath_lock_task(struct task_struct *task)
{
	spin_lock_irq(&task->syscall_slowpath_lock);
}

void syscall_slowpath_unlock_task(struct task_struct *task)
{
	spin_unlock_irq(&task->syscall_slowpath_lock);
}

/**
 * syscall_slowpath_update_work - Steer a task and its exits, or do not
 * @task:	The task
 *
 * Context: With the task's syscall_slowpath_lock held.
 */
void syscall_slowpath_update_work(struct task_struct *task)
{
	struct syscall_slowpath_group *group = group_of(task);
	u8 flags;

	lockdep_assert_held(&task->syscall_slowpath_lock);
	flags = task->syscall_slowpath_flags & ~SYSCALL_SLOWPATH_EXITS;
	if (group && READ_ONCE(group->exit_work)) {
		/* What the task does now was entered when no exit was seen. */
		if (flags == task->syscall_slowpath_flags)
			WRITE_ONCE(task->syscall_slowpath_memo.what, 0);
		flags |= SYSCALL_SLOWPATH_EXITS;
	}
	WRITE_ONCE(task->syscall_slowpath_flags, flags);

	if (READ_ONCE(nr_forced) || READ_ONCE(task->syscall_slowpath_saved) ||
	    (group && READ_ONCE(group->active)))
		set_task_syscall_work(task, SYSCALL_SLOWPATH);
	else
		clear_task_syscall_work(task, SYSCALL_SLOWPATH);
}

/* The locks that move() needs: of a task, and of the groups that it leaves and comes to, if any. */
struct locked {
	struct task_struct		*task;
	struct syscall_slowpath_group	*from, *to;
	/* Those two in their order; @second is NULL where they are one. */
	struct syscall_slowpath_group	*first, *second;
	unsigned long			irq;
};

static void unlock(struct locked *locked)
{
	spin_unlock(&locked->task->syscall_slowpath_lock);
	if (locked->second)
		spin_unlock(&locked->second->lock);
	spin_unlock_irqrestore(&locked->first->lock, locked->irq);
}

/*
 * In syscall_slowpath_srcu. Locks @task, the group that it is in, and @to. Returns
 * false, with nothing locked any more, if neither of these groups is one.
 */
static bool lock(struct locked *locked, struct task_struct *task,
		 struct syscall_slowpath_group *to)
{
	struct syscall_slowpath_group *from;

	locked->task = task;
	locked->to = to;
	for (;;) {
		from = srcu_dereference(task->syscall_slowpath, &syscall_slowpath_srcu);
		if (!from && !to) {
			/* Or whoever has it come to one now would not see why it must not. */
			spin_lock_irqsave(&task->syscall_slowpath_lock, locked->irq);
			from = group_of(task);
			spin_unlock_irqrestore(&task->syscall_slowpath_lock, locked->irq);
			if (!from)
				return false;
			continue;
		}
		locked->from = from;
		locked->first = from ?: to;
		locked->second = from && to && from != to ? to : NULL;
		if (locked->second && locked->second < locked->first)
			swap(locked->first, locked->second);

		spin_lock_irqsave(&locked->first->lock, locked->irq);
		if (locked->second)
			spin_lock_nested(&locked->second->lock, SINGLE_DEPTH_NESTING);
		spin_lock(&task->syscall_slowpath_lock);
		if (likely(group_of(task) == from))
			return true;
		unlock(locked);
	}
}

/* Has the task be in @to, for the reason that @flags says, and not in @from any more. */
static void move(const struct locked *locked, u8 flags)
{
	struct syscall_slowpath_group *from = locked->from, *to = locked->to;
	struct task_struct *task = locked->task;
	struct list_head *node = &task->syscall_slowpath_node;
	struct syscall_slowpath_iter *iter;

	if (from && from != to) {
		trace_syscall_slowpath_detach(task);
		list_for_each_entry(iter, &from->iters, node)
			if (iter->next == node)
				iter->next = node->next;
		list_del_init(node);
		WRITE_ONCE(from->nr_tasks, from->nr_tasks - 1);
	}
	if (to && from != to) {
		list_add_tail(node, &to->tasks);
		WRITE_ONCE(to->nr_tasks, to->nr_tasks + 1);
	}
	if (from != to)
		WRITE_ONCE(task->syscall_slowpath_memo.what, 0);
	/* Exits of the task's look for themselves meanwhile. */
	WRITE_ONCE(task->syscall_slowpath_flags,
		   task->syscall_slowpath_flags | SYSCALL_SLOWPATH_EXITS);
	rcu_assign_pointer(task->syscall_slowpath, to);
	WRITE_ONCE(task->syscall_slowpath_flags, flags | SYSCALL_SLOWPATH_EXITS);
	syscall_slowpath_update_work(task);
	if (to && from != to)
		trace_syscall_slowpath_attach(task);
}

/* The same, but into no group if the task exits: then returns false. */
static bool move_unless_exiting(const struct locked *locked, u8 flags)
{
	const struct locked back = { .task = locked->task, .from = locked->to };

	if (!locked->to) {
		move(locked, 0);
		return true;
	}
	move(locked, flags);
	/* Pairs with syscall_slowpath_exit(): it sees the group, or we PF_EXITING. */
	smp_mb();
	if (likely(!(READ_ONCE(locked->task->flags) & PF_EXITING)))
		return true;
	move(&back, 0);
	return false;
}

/*
 * A group that move() has taken a task off may be of the kind that has to end now.
 * Returns it if so: the caller has it end when it has unlocked it.
 */
static struct syscall_slowpath_group *ended_by(const struct locked *locked)
{
	struct syscall_slowpath_group *from = locked->from;

	if (from->kind != SYSCALL_SLOWPATH_SINGLE || from->nr_tasks || from->closed)
		return NULL;
	from->closed = true;
	return from;
}

/**
 * syscall_slowpath_put_in - Have a task be in a group of its own
 * @task:	The task, of which nobody else does this now
 * @group:	The group, which the caller keeps from being released
 * @flags:	0, or SYSCALL_SLOWPATH_WEAK
 *
 * Context: Process context, with tasklist_lock held for reading.
 * Return: 0, also if it was; -ESHUTDOWN if the group is closed, -ESRCH if the task
 * is exiting, -EBUSY if it is in another group of its own.
 */
int syscall_slowpath_put_in(struct task_struct *task, struct syscall_slowpath_group *group,
			    u8 flags)
{
	struct srcu_ctr __percpu *scp;
	struct locked locked;
	bool own;
	int ret;

	scp = srcu_read_lock_fast(&syscall_slowpath_srcu);
	lock(&locked, task, group);
	own = locked.from && !(task->syscall_slowpath_flags & SYSCALL_SLOWPATH_BY_CGROUP);
	if (group->closed) {
		ret = -ESHUTDOWN;
	} else if (own && locked.from != group) {
		ret = -EBUSY;
	} else {
		/* Who had it join first can still do so much to it. */
		if (own)
			flags |= task->syscall_slowpath_flags;
		ret = move_unless_exiting(&locked, flags) ? 0 : -ESRCH;
	}
	unlock(&locked);
	if (!ret && locked.from && locked.from != group)
		syscall_slowpath_wake_delayed(locked.from);
	srcu_read_unlock_fast(&syscall_slowpath_srcu, scp);
	return ret;
}

/*
 * Whether @task is in @group because its cgroup is: then who was asked whether it may
 * be need not be asked again.
 */
static bool is_in_by_cgroup(struct task_struct *task, struct syscall_slowpath_group *group)
{
	return rcu_access_pointer(task->syscall_slowpath) == group &&
	       READ_ONCE(task->syscall_slowpath_flags) & SYSCALL_SLOWPATH_BY_CGROUP;
}

/* What has to be given up: a task's own group, if it is this one, or one of this handler. */
struct leave {
	const struct syscall_slowpath_handler	*handler;
	struct syscall_slowpath_group		*group;
};

static int may_leave(const struct locked *locked, bool own, const struct leave *leave)
{
	struct syscall_slowpath_group *from = locked->from;

	if (!from || (leave->group ? from != leave->group : from->handler != leave->handler))
		return -ESRCH;
	return own ? 0 : -EBUSY;
}

static struct syscall_slowpath_binding *binding_of(struct task_struct *task)
{
	return syscall_slowpath_exempt(task) ? NULL : syscall_slowpath_binding_of(task);
}

/*
 * In syscall_slowpath_srcu. Has @task be in the group of its cgroup, but not if it is
 * in one of its own that is not to be given up. @like is the task, or another with its
 * credentials.
 */
static int settle(struct task_struct *task, struct task_struct *like, const struct leave *leave,
		  struct syscall_slowpath_group **ended)
{
	struct syscall_slowpath_binding *binding;
	struct syscall_slowpath_group *to;
	struct locked locked;
	bool own;
	int ret = 0;

	for (;;) {
		binding = binding_of(task);
		to = binding ? binding->group : NULL;
		if (to && !is_in_by_cgroup(like, to) &&
		    !syscall_slowpath_binding_may(binding, task))
			to = NULL;
		if (!lock(&locked, task, to)) {
			if (leave)
				return -ESRCH;
			goto settled;
		}
		/* Who changes that from now on settles the task after this. */
		if (likely(binding_of(task) == binding))
			break;
		unlock(&locked);
	}

	own = locked.from && !(task->syscall_slowpath_flags & SYSCALL_SLOWPATH_BY_CGROUP);
	if (leave)
		ret = may_leave(&locked, own, leave);
	if (ret || (own && !leave)) {
		unlock(&locked);
		return ret;
	}
	if (leave || locked.from != to)
		move_unless_exiting(&locked, SYSCALL_SLOWPATH_BY_CGROUP);
	if (leave)
		*ended = ended_by(&locked);
	unlock(&locked);
	if (locked.from && locked.from != to)
		syscall_slowpath_wake_delayed(locked.from);
settled:
	if (binding && !to)
		syscall_slowpath_binding_kept_out(binding, task);
	return 0;
}

/**
 * syscall_slowpath_let_go - Have a task be in its group of its own no more
 * @task:	The task, to which the caller holds a reference
 * @handler:	Any group of this handler's; or NULL
 * @group:	Only this one; or NULL
 * @ended:	Set to the group if it has to be ended by syscall_slowpath_end_group(),
 *		else to NULL
 *
 * The group of its cgroup takes over, if there is one, and no call comes between.
 *
 * Context: Process context, atomic if need be.
 * Return: 0; -ESRCH if it is not in it; -EBUSY if it is, but because its cgroup is.
 */
int syscall_slowpath_let_go(struct task_struct *task,
			    const struct syscall_slowpath_handler *handler,
			    struct syscall_slowpath_group *group,
			    struct syscall_slowpath_group **ended)
{
	const struct leave leave = { .handler = handler, .group = group };
	struct srcu_ctr __percpu *scp;
	int ret;

	*ended = NULL;
	scp = srcu_read_lock_fast(&syscall_slowpath_srcu);
	ret = settle(task, task, &leave, ended);
	srcu_read_unlock_fast(&syscall_slowpath_srcu, scp);
	return ret;
}

/**
 * syscall_slowpath_settle - Have a task be in the group of its cgroup, or in none
 * @task:	The task, to which the caller holds a reference
 * @like:	The task, or another that has its credentials
 *
 * After something has changed that this follows from. A group of its own comes first.
 *
 * Context: Process context, atomic if need be; no lock of this file held.
 */
void syscall_slowpath_settle(struct task_struct *task, struct task_struct *like)
{
	struct srcu_ctr __percpu *scp;

	scp = srcu_read_lock_fast(&syscall_slowpath_srcu);
	settle(task, like, NULL, NULL);
	srcu_read_unlock_fast(&syscall_slowpath_srcu, scp);
}

/**
 * syscall_slowpath_force_all - Keep every task off the fast path
 * @force:	True: all tasks, present and future; false: no longer, once for each true
 *
 * Context: Process context, may sleep.
 */
void syscall_slowpath_force_all(bool force)
{
	struct task_struct *p, *t;

	mutex_lock(&force_mutex);
	WRITE_ONCE(nr_forced, nr_forced + (force ? 1 : -1));
	mutex_unlock(&force_mutex);
	syscall_slowpath_update_passes();

	/* Who forks now has seen it in syscall_slowpath_fork(), or the walk sees the child. */
	read_lock(&tasklist_lock);
	read_unlock(&tasklist_lock);

	guard(rcu)();
	for_each_process_thread(p, t) {
		syscall_slowpath_lock_task(t);
		syscall_slowpath_update_work(t);
		syscall_slowpath_unlock_task(t);
	}
}
EXPORT_SYMBOL_GPL(syscall_slowpath_force_all);

/**
 * syscall_slowpath_capable - Whether who had the task join may let it gain privileges
 *
 * What ptracer_capable() is for a tracer.
 *
 * Context: In the task.
 */
bool syscall_slowpath_capable(void)
{
	return likely(!(READ_ONCE(current->syscall_slowpath_flags) & SYSCALL_SLOWPATH_WEAK));
}

/**
 * syscall_slowpath_status - Say which group a task is in
 * @m:		Where to
 * @task:	The task, to which the caller holds a reference
 *
 * Context: Process context.
 */
void syscall_slowpath_status(struct seq_file *m, struct task_struct *task)
{
	struct syscall_slowpath_group *group;
	struct srcu_ctr __percpu *scp;

	scp = srcu_read_lock_fast(&syscall_slowpath_srcu);
	group = srcu_dereference(task->syscall_slowpath, &syscall_slowpath_srcu);
	seq_printf(m, "Slowpath:\t%s\n", group ? group->name : "none");
	srcu_read_unlock_fast(&syscall_slowpath_srcu, scp);
}

/**
 * syscall_slowpath_dup - Forget what a new task copied of its parent's
 * @child:	The new task, which nobody else can find yet
 */
void syscall_slowpath_dup(struct task_struct *child)
{
	RCU_INIT_POINTER(child->syscall_slowpath, NULL);
	spin_lock_init(&child->syscall_slowpath_lock);
	child->syscall_slowpath_flags = 0;
	INIT_LIST_HEAD(&child->syscall_slowpath_node);
	child->syscall_slowpath_saved = NULL;
	child->syscall_slowpath_memo.what = 0;
	clear_task_syscall_work(child, SYSCALL_SLOWPATH);
}

/* With the group's lock held. */
static bool follows(struct syscall_slowpath_group *group, struct task_struct *child,
		    u64 clone_flags)
{
	if (group->closed || syscall_slowpath_exempt(child))
		return false;
	switch (group->follow) {
	case SYSCALL_SLOWPATH_FOLLOW_ALL:
		return true;
	case SYSCALL_SLOWPATH_FOLLOW_THREADS:
		return clone_flags & CLONE_THREAD;
	case SYSCALL_SLOWPATH_FOLLOW_NONE:
		break;
	}
	return false;
}

/**
 * syscall_slowpath_fork - Have a new task be in its parent's group, or not
 * @child:	The new task, just linked into the task list
 * @clone_flags: The flags that it was made with
 *
 * Nobody has had @child join yet. A parent that is in its group because its cgroup is
 * says nothing about it: the child is settled when it has a cgroup.
 *
 * Context: In the parent, with tasklist_lock held for writing, IRQs off.
 */
void syscall_slowpath_fork(struct task_struct *child, u64 clone_flags)
{
	struct srcu_ctr __percpu *scp;
	struct locked parent, locked;
	u8 flags;

	if (unlikely(current->syscall_slowpath_saved))
		syscall_slowpath_fork_call(child);

	if (likely(!rcu_access_pointer(current->syscall_slowpath) && !READ_ONCE(nr_forced)))
		return;

	scp = srcu_read_lock_fast(&syscall_slowpath_srcu);
	if (lock(&parent, current, NULL)) {
		spin_lock_nested(&child->syscall_slowpath_lock, SINGLE_DEPTH_NESTING);
		flags = current->syscall_slowpath_flags;
		if (!(flags & SYSCALL_SLOWPATH_BY_CGROUP) &&
		    follows(parent.from, child, clone_flags)) {
			locked = (struct locked){ .task = child, .to = parent.from };
			move(&locked, flags);
		} else {
			syscall_slowpath_update_work(child);
		}
		spin_unlock(&child->syscall_slowpath_lock);
		unlock(&parent);
	} else {
		spin_lock(&child->syscall_slowpath_lock);
		syscall_slowpath_update_work(child);
		spin_unlock(&child->syscall_slowpath_lock);
	}
	srcu_read_unlock_fast(&syscall_slowpath_srcu, scp);
}

/**
 * syscall_slowpath_exec - Forget how a call was changed that has no return
 *
 * A task that a security module kept out of its cgroup's group may be another now.
 *
 * Context: In the task, which has passed the point of no return of an exec, and has
 * the credentials of the new program.
 */
void syscall_slowpath_exec(void)
{
	if (unlikely(current->syscall_slowpath_saved))
		syscall_slowpath_forget_call();

	if (IS_ENABLED(CONFIG_CGROUP_SLOWPATH) && !rcu_access_pointer(current->syscall_slowpath))
		syscall_slowpath_settle(current, current);
}

/**
 * syscall_slowpath_exit - Take an exiting task off its group
 * @task:	current, with PF_EXITING set
 *
 * Waits for nobody: what ends with a group ends in a work item.
 *
 * Context: In the task, before its parent can reap it; IRQs on.
 */
void syscall_slowpath_exit(struct task_struct *task)
{
	struct syscall_slowpath_group *ended;
	struct srcu_ctr __percpu *scp;
	struct locked locked;

	if (unlikely(task->syscall_slowpath_saved))
		syscall_slowpath_forget_call();

	/* Pairs with move_unless_exiting(). */
	smp_mb();
	if (likely(!rcu_access_pointer(task->syscall_slowpath)))
		return;

	scp = srcu_read_lock_fast(&syscall_slowpath_srcu);
	if (lock(&locked, task, NULL)) {
		move(&locked, 0);
		ended = ended_by(&locked);
		unlock(&locked);
		if (ended)
			syscall_slowpath_end_group_later(ended);
	}
	srcu_read_unlock_fast(&syscall_slowpath_srcu, scp);
}
