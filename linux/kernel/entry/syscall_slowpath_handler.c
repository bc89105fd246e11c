// SPDX-License-Identifier: GPL-2.0
/*
 * Handlers on the syscall slow path, and what is done when their hooks have returned.
 */
#include <linux/export.h>
#include <linux/init.h>
#include <linux/module.h>
#include <linux/notifier.h>
#include <linux/sched.h>
#include <linux/wait_bit.h>
#include <linux/workqueue.h>

#include "syscall_slowpath.h"

/* What was deferred. None of it waits for another. */
static struct workqueue_struct *deferred_wq;
/* What ends with the groups of tasks that exit. */
static struct workqueue_struct *left_wq;
/* Those that are registered, under syscall_slowpath_mutex. */
static LIST_HEAD(handlers);

static void deferred_work(struct work_struct *work)
{
	struct syscall_slowpath_deferred *deferred = container_of(work, typeof(*deferred), work);

	deferred->func(deferred);
}

static void deferred_rcu(struct rcu_head *rcu)
{
	struct syscall_slowpath_deferred *deferred = container_of(rcu, typeof(*deferred), rcu);

	INIT_WORK(&deferred->work, deferred_work);
	queue_work(deferred_wq, &deferred->work);
}

/* Assembly reads what is there for it with IRQs off, and is no reader of SRCU. */
static void deferred_srcu(struct rcu_head *rcu)
{
	call_rcu_hurry(rcu, deferred_rcu);
}

/**
 * syscall_slowpath_defer - Call a function when no hook that runs now is running
 * @deferred:	The function. Private until it is called.
 *
 * For what hooks read without a lock, and nobody can find any more. If the function
 * is a module's, it is called before the module goes.
 *
 * Context: Any context.
 */
void syscall_slowpath_defer(struct syscall_slowpath_deferred *deferred)
{
	call_srcu(&syscall_slowpath_srcu, &deferred->rcu, deferred_srcu);
}
EXPORT_SYMBOL_GPL(syscall_slowpath_defer);

/**
 * syscall_slowpath_flush_deferred - Wait until what was deferred before is over
 *
 * Context: Process context, may sleep for as long as the hooks that run now. Not in
 * a deferred call.
 */
void syscall_slowpath_flush_deferred(void)
{
	srcu_barrier(&syscall_slowpath_srcu);
	rcu_barrier();
	flush_workqueue(deferred_wq);
}

static int module_goes(struct notifier_block *nb, unsigned long state, void *module)
{
	/* After its exit, and before its code and data are freed. */
	if (state == MODULE_STATE_GOING)
		syscall_slowpath_flush_deferred();
	return NOTIFY_DONE;
}

static struct notifier_block module_nb = { .notifier_call = module_goes };

/**
 * syscall_slowpath_end_group_later - The same from a work item
 * @group:	The group
 *
 * Context: Any context.
 */
void syscall_slowpath_end_group_later(struct syscall_slowpath_group *group)
{
	queue_work(left_wq, &group->left_work);
}

/**
 * syscall_slowpath_flush_left - Wait until tasks that have exited have left nothing
 *
 * For who wants the name of one of them, say: when this returns, so has @left of
 * each group that was closed because its last task has exited.
 *
 * Context: Process context, may sleep. Not in @left.
 */
void syscall_slowpath_flush_left(void)
{
	flush_workqueue(left_wq);
}
EXPORT_SYMBOL_GPL(syscall_slowpath_flush_left);

/**
 * syscall_slowpath_register - Register a handler
 * @handler:	The handler, with its ops set
 *
 * Context: Process context.
 * Return: 0.
 */
int syscall_slowpath_register(struct syscall_slowpath_handler *handler)
{
	handler->enabled = true;
	handler->closing = false;
	atomic_set(&handler->nr_groups, 0);
	INIT_LIST_HEAD(&handler->groups);
	guard(mutex)(&syscall_slowpath_mutex);
	list_add(&handler->node, &handlers);
	return 0;
}
EXPORT_SYMBOL_GPL(syscall_slowpath_register);

/**
 * syscall_slowpath_unregister - Unregister a handler
 * @handler:	The handler
 *
 * Closes its groups, and returns when none of its callbacks runs or will run, and
 * every group was released.
 *
 * Context: Process context, may sleep for as long as its hooks do. Not in a
 * deferred call.
 */
void syscall_slowpath_unregister(struct syscall_slowpath_handler *handler)
{
	struct syscall_slowpath_group *group, *next;
	LIST_HEAD(closed);

	scoped_guard(mutex, &syscall_slowpath_mutex) {
		handler->closing = true;
		list_del(&handler->node);
		list_for_each_entry_safe(group, next, &handler->groups, node)
			if (syscall_slowpath_begin_close(group, true))
				list_move(&group->node, &closed);
	}
	list_for_each_entry_safe(group, next, &closed, node) {
		syscall_slowpath_empty(group);
		syscall_slowpath_end_group(group);
	}
	syscall_slowpath_audit("detach-all", NULL, 0);

	wait_var_event(&handler->nr_groups, !atomic_read_acquire(&handler->nr_groups));
}
EXPORT_SYMBOL_GPL(syscall_slowpath_unregister);

/**
 * syscall_slowpath_enable - Switch all of a handler's groups on or off
 * @handler:	The handler
 * @enable:	False puts their tasks back on the fast path, still in their groups
 *
 * Context: Process context, may sleep.
 */
void syscall_slowpath_enable(struct syscall_slowpath_handler *handler, bool enable)
{
	struct syscall_slowpath_group *group;

	/* Keeps groups on the list, and those are not released. */
	scoped_guard(mutex, &syscall_slowpath_mutex) {
		WRITE_ONCE(handler->enabled, enable);
		list_for_each_entry(group, &handler->groups, node) {
			syscall_slowpath_switch_group(group);
			cond_resched();
		}
	}
	syscall_slowpath_audit(enable ? "enable-all" : "disable-all", NULL, 0);
}
EXPORT_SYMBOL_GPL(syscall_slowpath_enable);

/**
 * syscall_slowpath_update_passes - Have all groups follow whether tasks are forced
 *
 * Context: Process context, may sleep.
 */
void syscall_slowpath_update_passes(void)
{
	struct syscall_slowpath_handler *handler;
	struct syscall_slowpath_group *group;

	guard(mutex)(&syscall_slowpath_mutex);
	list_for_each_entry(handler, &handlers, node) {
		list_for_each_entry(group, &handler->groups, node) {
			scoped_guard(spinlock_irq, &group->lock)
				syscall_slowpath_update_pass(group);
			cond_resched();
		}
	}
}

/**
 * syscall_slowpath_detach_all - Take the tasks off all groups of a handler
 * @handler:	The handler
 *
 * But for those that are in theirs because their cgroups are. Those that join while
 * this runs may stay.
 *
 * Context: Process context, may sleep.
 */
void syscall_slowpath_detach_all(struct syscall_slowpath_handler *handler)
{
	struct syscall_slowpath_group *group, *next;
	LIST_HEAD(closed);

	scoped_guard(mutex, &syscall_slowpath_mutex) {
		list_for_each_entry_safe(group, next, &handler->groups, node)
			if (syscall_slowpath_empty(group))
				list_move(&group->node, &closed);
	}
	list_for_each_entry_safe(group, next, &closed, node)
		syscall_slowpath_end_group(group);

	syscall_slowpath_audit("detach-all", NULL, 0);
}
EXPORT_SYMBOL_GPL(syscall_slowpath_detach_all);

static int __init syscall_slowpath_init(void)
{
	deferred_wq = alloc_workqueue("syscall_slowpath", WQ_UNBOUND, 0);
	left_wq = alloc_workqueue("syscall_slowpath_left", WQ_UNBOUND, 0);
	if (!deferred_wq || !left_wq)
		panic("syscall_slowpath: no workqueue");
	return register_module_notifier(&module_nb);
}
core_initcall(syscall_slowpath_init);
