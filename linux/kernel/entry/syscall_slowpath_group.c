// SPDX-License-Identifier: GPL-2.0
/*
 * Groups of tasks with a handler on the syscall slow path.
 *
 * A handler's groups are on its list, and counted, from their creation; a lasting one
 * is on that of names, too. Both lists, the switch of a handler, and which cgroups
 * have which group are for those who administer them, under syscall_slowpath_mutex.
 * Tasks that come, go, or make calls take no lock but what is in syscall_slowpath.c.
 *
 * A group is closed once, under its lock, and whoever does so has it end: takes its
 * tasks off, calls @left, and has it released a grace period later. So a group that is
 * not closed has a handler; of one that is, nothing but its tasks is looked at.
 */
#include <linux/ctype.h>
#include <linux/export.h>
#include <linux/sched/task.h>
#include <linux/string.h>
#include <linux/wait_bit.h>

#include "syscall_slowpath.h"

/* Taken by those who administer groups, for which ones there are. */
DEFINE_MUTEX(syscall_slowpath_mutex);
static LIST_HEAD(named_groups);
/* The last nr_ended of any group: none is used again, at the same address. */
static atomic_long_t last_ended;

/**
 * syscall_slowpath_wake_delayed - Have the tasks that are delayed look again
 * @group:	Their group, which the caller keeps from being released
 *
 * Context: Any context.
 */
void syscall_slowpath_wake_delayed(struct syscall_slowpath_group *group)
{
	/* What they look at comes before the queue: pairs with prepare_to_wait_event(). */
	smp_mb();
	wake_up_var(group);
}

/* The caller wakes them by syscall_slowpath_wake_delayed(), best without a lock. */
static void end_delays(struct syscall_slowpath_group *group)
{
	/* Pairs with ask(). */
	smp_store_release(&group->nr_ended, atomic_long_inc_return(&last_ended));
}

/* Lets others have the group's lock. */
static void relax_lock(struct syscall_slowpath_group *group)
{
	spin_unlock_irq(&group->lock);
	cond_resched();
	spin_lock_irq(&group->lock);
}

/* With the group's lock held. Those who come later are behind, and @next is not lost. */
static void add_iter(struct syscall_slowpath_group *group, struct syscall_slowpath_iter *iter)
{
	iter->group = group;
	iter->next = group->tasks.next;
	list_add(&iter->node, &group->iters);
}

static struct task_struct *advance(struct syscall_slowpath_iter *iter)
{
	struct list_head *node = iter->next;

	if (node == &iter->group->tasks)
		return NULL;
	iter->next = node->next;
	return list_entry(node, struct task_struct, syscall_slowpath_node);
}

/**
 * syscall_slowpath_iter_start - Begin to walk over the tasks of a group
 * @iter:	The walk, which stays where it is until syscall_slowpath_iter_end()
 * @group:	The group, which the caller keeps from being released until then
 *
 * Nothing is held between two steps: tasks come, go and exit meanwhile. Each one that
 * is in the group all the time is met once.
 *
 * Context: Any context with IRQs on. The same for the two functions below.
 */
void syscall_slowpath_iter_start(struct syscall_slowpath_iter *iter,
				 struct syscall_slowpath_group *group)
{
	spin_lock_irq(&group->lock);
	add_iter(group, iter);
	spin_unlock_irq(&group->lock);
}
EXPORT_SYMBOL_GPL(syscall_slowpath_iter_start);

/**
 * syscall_slowpath_iter_next - Go on with a walk
 * @iter:	The walk
 *
 * Return: The next task, with a reference for the caller; NULL at the end.
 */
struct task_struct *syscall_slowpath_iter_next(struct syscall_slowpath_iter *iter)
{
	struct task_struct *task;

	guard(spinlock_irq)(&iter->group->lock);
	task = advance(iter);
	/* It is on the list, so it has not exited, and nobody has put the last reference. */
	return task ? get_task_struct(task) : NULL;
}
EXPORT_SYMBOL_GPL(syscall_slowpath_iter_next);

/**
 * syscall_slowpath_iter_end - Be done with a walk
 * @iter:	The walk
 */
void syscall_slowpath_iter_end(struct syscall_slowpath_iter *iter)
{
	guard(spinlock_irq)(&iter->group->lock);
	list_del(&iter->node);
}
EXPORT_SYMBOL_GPL(syscall_slowpath_iter_end);

/**
 * syscall_slowpath_update_pass - Have calls of a group's tasks pass without a hook, or none
 * @group:	The group
 *
 * None where hooks are off, or all tasks are forced.
 *
 * Context: With the group's lock held.
 */
void syscall_slowpath_update_pass(struct syscall_slowpath_group *group)
{
	bool may = group->active && !syscall_slowpath_is_forced();

	lockdep_assert_held(&group->lock);
	/* Pairs with the dependent loads of assembly. */
	smp_store_release(&group->pass, may ? group->wanted_pass : NULL);
}

/**
 * syscall_slowpath_set_pass - Say which calls a group's tasks make without a hook
 * @group:	The group, which the caller keeps from being released
 * @pass:	What says so, with all that it points to; or NULL, for none
 *
 * When this returns, each call that begins goes by @pass, as it does when a hook's
 * answer changes; and what was said before can be freed by syscall_slowpath_defer().
 *
 * Context: Any context with IRQs on.
 */
void syscall_slowpath_set_pass(struct syscall_slowpath_group *group,
			       const struct syscall_slowpath_pass *pass)
{
	guard(spinlock_irq)(&group->lock);
	group->wanted_pass = pass;
	syscall_slowpath_update_pass(group);
}
EXPORT_SYMBOL_GPL(syscall_slowpath_set_pass);

/**
 * syscall_slowpath_switch_group - Have a group and its tasks follow its switches and its handler's
 * @group:	The group, which the caller keeps from being released
 *
 * Context: Process context, may sleep.
 */
void syscall_slowpath_switch_group(struct syscall_slowpath_group *group)
{
	const struct syscall_slowpath_ops *ops;
	struct syscall_slowpath_iter iter;
	struct task_struct *task;
	unsigned int n;
	bool active;

	spin_lock_irq(&group->lock);
	/* It may have outlived its handler. */
	if (group->closed)
		goto out;
	ops = group->handler->ops;
	active = group->enabled && READ_ONCE(group->handler->enabled);
	WRITE_ONCE(group->active, active);
	WRITE_ONCE(group->enter, active ? ops->enter : NULL);
	WRITE_ONCE(group->exit_work, active && group->wants_exit_work ? ops->exit_work : NULL);
	syscall_slowpath_update_pass(group);
	if (!active)
		end_delays(group);

	/* Those that come from now on see it, and are behind those that are here. */
	add_iter(group, &iter);
	for (n = group->nr_tasks; n; n--) {
		task = advance(&iter);
		if (!task)
			break;
		spin_lock(&task->syscall_slowpath_lock);
		syscall_slowpath_update_work(task);
		spin_unlock(&task->syscall_slowpath_lock);
		if (n % SYSCALL_SLOWPATH_BATCH == 0)
			relax_lock(group);
	}
	list_del(&iter.node);
out:
	spin_unlock_irq(&group->lock);
	syscall_slowpath_wake_delayed(group);
}

static void release(struct syscall_slowpath_deferred *deferred)
{
	struct syscall_slowpath_group *group = container_of(deferred, typeof(*group), release);
	struct syscall_slowpath_handler *handler = group->handler;

	if (handler->ops->release)
		handler->ops->release(group);
	/* Whoever waits may free the handler at once. */
	if (atomic_dec_and_test(&handler->nr_groups))
		wake_up_var(&handler->nr_groups);
}

/**
 * syscall_slowpath_end_group - Do what is to be done when a group has ended
 * @group:	The group, closed by the caller, without tasks
 *
 * Counted as pending since it was created.
 *
 * Context: Process context, may sleep.
 */
void syscall_slowpath_end_group(struct syscall_slowpath_group *group)
{
	WARN_ON_ONCE(group->nr_tasks);
	mutex_lock(&syscall_slowpath_mutex);
	list_del(&group->node);
	mutex_unlock(&syscall_slowpath_mutex);

	syscall_slowpath_wake_delayed(group);
	if (group->kind == SYSCALL_SLOWPATH_SINGLE && group->handler->ops->left)
		group->handler->ops->left(group);

	group->release.func = release;
	syscall_slowpath_defer(&group->release);
}

static void end_group_work(struct work_struct *work)
{
	syscall_slowpath_end_group(container_of(work, struct syscall_slowpath_group, left_work));
}

/* The lines of files that show names have nothing else, or begin with them. */
static bool is_name(const char *name)
{
	size_t n;

	for (n = 0; name[n]; n++)
		if (n == SYSCALL_SLOWPATH_NAME_LEN - 1 || name[n] == ' ' || iscntrl(name[n]))
			return false;
	return n && strcmp(name, "none");
}

/**
 * syscall_slowpath_find_group - Find a lasting group by its name
 * @name:	The name
 *
 * Context: With syscall_slowpath_mutex held, until which is released it is not closed.
 * Return: The group, or NULL.
 */
struct syscall_slowpath_group *syscall_slowpath_find_group(const char *name)
{
	struct syscall_slowpath_group *group;

	lockdep_assert_held(&syscall_slowpath_mutex);
	list_for_each_entry(group, &named_groups, named)
		if (!strcmp(group->name, name))
			return group;
	return NULL;
}

/**
 * syscall_slowpath_create - Make a group, without tasks
 * @handler:	A registered handler
 * @group:	A zeroed group, the handler's from now until @release
 * @name:	Its name, shorter than SYSCALL_SLOWPATH_NAME_LEN, without blanks and
 *		control characters, and not "none"
 * @kind:	How long it lasts
 * @follow:	Which new tasks of its tasks come to it
 *
 * Context: Process context, may sleep.
 * Return: 0; -EINVAL for such a name, -EEXIST if a lasting group is to have the name
 * of another, -ESHUTDOWN when @handler is being unregistered. After an error the
 * handler still owns @group.
 */
int syscall_slowpath_create(struct syscall_slowpath_handler *handler,
			    struct syscall_slowpath_group *group, const char *name,
			    enum syscall_slowpath_kind kind,
			    enum syscall_slowpath_follow follow)
{
	if (!is_name(name))
		return -EINVAL;
	strscpy(group->name, name);
	group->handler = handler;
	group->kind = kind;
	group->follow = follow;
	group->enabled = true;
	group->wants_exit_work = true;
	spin_lock_init(&group->lock);
	INIT_LIST_HEAD(&group->tasks);
	INIT_LIST_HEAD(&group->iters);
	INIT_LIST_HEAD(&group->named);
	INIT_LIST_HEAD(&group->cgroups);
	INIT_WORK(&group->left_work, end_group_work);

	guard(mutex)(&syscall_slowpath_mutex);
	if (handler->closing)
		return -ESHUTDOWN;
	if (kind == SYSCALL_SLOWPATH_LASTING) {
		if (syscall_slowpath_find_group(name))
			return -EEXIST;
		list_add(&group->named, &named_groups);
	}
	list_add_tail(&group->node, &handler->groups);
	atomic_inc(&handler->nr_groups);
	end_delays(group);
	syscall_slowpath_switch_group(group);
	return 0;
}
EXPORT_SYMBOL_GPL(syscall_slowpath_create);

/**
 * syscall_slowpath_empty - Take the tasks off a group that are not in it by their cgroup
 * @group:	The group, which the caller keeps from being released
 *
 * Context: Process context, may sleep.
 * Return: True if this has closed the group: the caller has it end.
 */
bool syscall_slowpath_empty(struct syscall_slowpath_group *group)
{
	struct syscall_slowpath_group *ended;
	struct syscall_slowpath_iter iter;
	struct task_struct *task;
	bool again, closed = false;

	/* Those that follow a task that is still to come are behind it, or met the next time. */
	do {
		again = false;
		syscall_slowpath_iter_start(&iter, group);
		while ((task = syscall_slowpath_iter_next(&iter))) {
			switch (syscall_slowpath_let_go(task, NULL, group, &ended)) {
			case 0:
				again = true;
				break;
			case -EBUSY:
				/* No cgroup names one that is closed. */
				if (READ_ONCE(group->closed))
					syscall_slowpath_settle(task, task);
				break;
			}
			if (ended)
				closed = true;
			put_task_struct(task);
			cond_resched();
		}
		syscall_slowpath_iter_end(&iter);
	} while (again);
	return closed;
}

/**
 * syscall_slowpath_begin_close - Have no task join a group any more
 * @group:	The group, which the caller keeps from being freed
 * @force:	Whether there may be tasks and cgroups
 *
 * Context: With syscall_slowpath_mutex held.
 * Return: 1 if the caller has to empty it, and have it end; 0 if another has; -EBUSY.
 */
int syscall_slowpath_begin_close(struct syscall_slowpath_group *group, bool force)
{
	int ret = 1;

	if (force)
		syscall_slowpath_unbind(group);
	else if (!list_empty(&group->cgroups))
		return -EBUSY;

	scoped_guard(spinlock_irq, &group->lock) {
		if (group->closed)
			ret = 0;
		else if (!force && group->nr_tasks)
			ret = -EBUSY;
		else
			WRITE_ONCE(group->closed, true);
	}
	if (ret == 1)
		list_del_init(&group->named);
	return ret;
}

/**
 * syscall_slowpath_close - Have a group end
 * @group:	The group, which the caller keeps from being freed
 * @force:	Take tasks and cgroups off it; else there must be none
 *
 * Closing it once more does nothing, also when its handler is gone.
 *
 * Context: Process context, may sleep.
 * Return: 0, or -EBUSY.
 */
int syscall_slowpath_close(struct syscall_slowpath_group *group, bool force)
{
	int ret;

	mutex_lock(&syscall_slowpath_mutex);
	ret = syscall_slowpath_begin_close(group, force);
	mutex_unlock(&syscall_slowpath_mutex);
	if (ret != 1)
		return ret;

	syscall_slowpath_empty(group);
	syscall_slowpath_end_group(group);
	return 0;
}
EXPORT_SYMBOL_GPL(syscall_slowpath_close);

/**
 * syscall_slowpath_set_follow - Say which new tasks come to a group
 * @group:	The group, which the caller keeps from being freed
 * @follow:	Those of its tasks, from now on
 *
 * Context: Any context with IRQs on.
 */
void syscall_slowpath_set_follow(struct syscall_slowpath_group *group,
				 enum syscall_slowpath_follow follow)
{
	guard(spinlock_irq)(&group->lock);
	group->follow = follow;
}
EXPORT_SYMBOL_GPL(syscall_slowpath_set_follow);

/**
 * syscall_slowpath_enable_group - Switch one group on or off
 * @group:	The group, which the caller keeps from being freed
 * @enable:	False puts its tasks back on the fast path, still in the group
 *
 * Context: Process context, may sleep.
 */
void syscall_slowpath_enable_group(struct syscall_slowpath_group *group, bool enable)
{
	scoped_guard(spinlock_irq, &group->lock)
		group->enabled = enable;
	syscall_slowpath_switch_group(group);
}
EXPORT_SYMBOL_GPL(syscall_slowpath_enable_group);

/**
 * syscall_slowpath_set_exit_work - Say whether a group's exit hook is to run
 * @group:	The group, which the caller keeps from being freed
 * @wanted:	Whether @exit_work is called from now on, as it is at first. Exits cost less
 *		where it is not.
 *
 * Context: Process context, may sleep.
 */
void syscall_slowpath_set_exit_work(struct syscall_slowpath_group *group, bool wanted)
{
	scoped_guard(spinlock_irq, &group->lock)
		group->wants_exit_work = wanted;
	syscall_slowpath_switch_group(group);
}
EXPORT_SYMBOL_GPL(syscall_slowpath_set_exit_work);

/**
 * syscall_slowpath_end_delays - Let tasks go on that a handler has delayed
 * @group:	Their group, which the caller keeps from being freed
 *
 * For a handler that does not want any more what @enter has asked for. If it
 * would not ask so any more before it calls this, no delay goes on that it does
 * not want; one that it wants may end if it was asked for at this moment.
 *
 * Context: Any context.
 */
void syscall_slowpath_end_delays(struct syscall_slowpath_group *group)
{
	end_delays(group);
	syscall_slowpath_wake_delayed(group);
}
EXPORT_SYMBOL_GPL(syscall_slowpath_end_delays);

/**
 * syscall_slowpath_nr_tasks - How many live tasks are in a group
 * @group:	The group, which the caller keeps from being freed
 *
 * Context: Any context.
 */
unsigned int syscall_slowpath_nr_tasks(struct syscall_slowpath_group *group)
{
	return READ_ONCE(group->nr_tasks);
}
EXPORT_SYMBOL_GPL(syscall_slowpath_nr_tasks);
