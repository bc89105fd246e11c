// SPDX-License-Identifier: GPL-2.0
/*
 * Per-task handlers on the syscall slow path.
 *
 * task_struct::syscall_slowpath is written with syscall_slowpath_lock held, which
 * protects the lists of a handler's attachments and of an attachment's tasks, too. A
 * task's own hooks read it without, inside syscall_slowpath_srcu: an attachment is
 * released a grace period after its last task has left. No other task dereferences
 * it outside the lock.
 *
 * SYSCALL_WORK_SYSCALL_SLOWPATH in a task's syscall_work follows from its
 * attachment and from nr_forced; syscall_slowpath_update_work() is the only place that sets it.
 * It is a hint to the entry code: a hook that runs for a task that was just
 * detached finds no attachment, and does nothing. A task whose call was changed
 * keeps it up to the exit, because user space relies on its registers.
 *
 * Lock order: tasklist_lock, syscall_slowpath_lock. Neither is held for more than a
 * few tasks at a time. A new task becomes visible, and inherits, within one
 * tasklist_lock section: it is on the list of its attachment before it can run.
 *
 * "IRQs off" and "atomic" below are what they are without PREEMPT_RT, where a task
 * that holds these locks can be preempted, but must not sleep either.
 */
#include <linux/audit.h>
#include <linux/cred.h>
#include <linux/entry-common.h>
#include <linux/export.h>
#include <linux/init.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/ptrace.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/security.h>
#include <linux/wait_bit.h>
#include <linux/workqueue.h>

#include <trace/events/syscall_slowpath.h>

#include "syscall_slowpath.h"

DEFINE_SPINLOCK(syscall_slowpath_lock);
DEFINE_SRCU_FAST(syscall_slowpath_srcu);
/* How many users want all tasks on the slow path. */
static unsigned int nr_forced;
/* The last nr_ended of any attachment: none is used again. */
static unsigned long last_ended;
/* What was deferred. None of it waits for another. */
static struct workqueue_struct *deferred_wq;
/* What ends with the attachments of tasks that exit. */
static struct workqueue_struct *left_wq;

/* Taken by who switches a handler, before syscall_slowpath_lock. */
static DEFINE_MUTEX(enable_lock);

/* How many tasks are looked at before the lock is given to others. */
#define BATCH	32

static struct syscall_slowpath_attachment *attachment_of(struct task_struct *task)
{
	return rcu_dereference_protected(task->syscall_slowpath,
					 lockdep_is_held(&syscall_slowpath_lock));
}

/* Has the tasks that are delayed look again. */
static void wake_delayed(struct syscall_slowpath_attachment *att)
{
	/* What they look at comes before the queue: pairs with prepare_to_wait_event(). */
	smp_mb();
	wake_up_var(att);
}

/* Needs syscall_slowpath_lock. The caller wakes them by wake_delayed(), best without the lock. */
static void end_delays(struct syscall_slowpath_attachment *att)
{
	/* Pairs with ask(). */
	smp_store_release(&att->nr_ended, ++last_ended);
}

static bool is_active(const struct syscall_slowpath_attachment *att)
{
	return !att->disabled && att->handler->enabled;
}

/* Needs syscall_slowpath_lock. */
void syscall_slowpath_update_work(struct task_struct *task)
{
	struct syscall_slowpath_attachment *att = attachment_of(task);

	if (nr_forced || (att && is_active(att)) || READ_ONCE(task->syscall_slowpath_saved))
		set_task_syscall_work(task, SYSCALL_SLOWPATH);
	else
		clear_task_syscall_work(task, SYSCALL_SLOWPATH);
}

/* Needs syscall_slowpath_lock. Afterwards the caller has to wake who is delayed. */
static void update_hooks(struct syscall_slowpath_attachment *att)
{
	bool active = is_active(att);

	WRITE_ONCE(att->enter, active ? att->handler->ops->enter : NULL);
	WRITE_ONCE(att->exit_work, active ? att->handler->ops->exit_work : NULL);
	if (!active)
		end_delays(att);
}

/* Lets others have syscall_slowpath_lock. */
static void relax_lock(void)
{
	spin_unlock_irq(&syscall_slowpath_lock);
	cond_resched();
	spin_lock_irq(&syscall_slowpath_lock);
}

/*
 * Needs syscall_slowpath_lock, and gives it up in between. The list is turned, by whoever
 * else does this at the same time, too: after as many steps as there were tasks, each
 * was looked at, or has left. Those that come meanwhile are behind these.
 */
static void update_tasks(struct syscall_slowpath_attachment *att)
{
	unsigned int n;

	for (n = att->nr_tasks; n && !list_empty(&att->tasks); n--) {
		list_rotate_left(&att->tasks);
		syscall_slowpath_update_work(list_last_entry(&att->tasks, struct task_struct,
							     syscall_slowpath_node));
		if (n % BATCH == 0)
			relax_lock();
	}
}

/*
 * Returns true if @task was the last one: the caller ends the attachment. Else it
 * wakes @task by wake_delayed(), if that may be delayed and nobody ends the attachment.
 */
static bool unlink_task(struct task_struct *task)
{
	struct syscall_slowpath_attachment *att = attachment_of(task);

	trace_syscall_slowpath_detach(task);
	RCU_INIT_POINTER(task->syscall_slowpath, NULL);
	list_del_init(&task->syscall_slowpath_node);
	syscall_slowpath_update_work(task);
	WRITE_ONCE(att->nr_tasks, att->nr_tasks - 1);
	if (att->nr_tasks)
		return false;

	list_del(&att->node);
	return true;
}

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
	call_srcu(&syscall_slowpath_srcu, &deferred->rcu, deferred_rcu);
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

static void release(struct syscall_slowpath_deferred *deferred)
{
	struct syscall_slowpath_attachment *att = container_of(deferred, typeof(*att), release);
	struct syscall_slowpath_handler *handler = att->handler;

	put_cred(att->cred);
	if (handler->ops->release)
		handler->ops->release(att);
	/* Whoever waits may free the handler at once. */
	if (atomic_dec_and_test(&handler->nr_attachments))
		wake_up_var(&handler->nr_attachments);
}

/* Its last task has left. Counted as pending since it was attached. */
static void end_attachment(struct syscall_slowpath_attachment *att)
{
	/* Those that detach_all() took off before somebody else took the last. */
	wake_delayed(att);
	if (att->handler->ops->left)
		att->handler->ops->left(att);

	att->release.func = release;
	syscall_slowpath_defer(&att->release);
}

static void end_attachment_work(struct work_struct *work)
{
	end_attachment(container_of(work, struct syscall_slowpath_attachment, left_work));
}

/**
 * syscall_slowpath_end_delays - Let tasks go on that a handler has delayed
 * @att:	Their attachment, which the caller keeps from being freed
 *
 * For a handler that does not want any more what @enter has asked for. If it
 * would not ask so any more before it calls this, no delay goes on that it does
 * not want; one that it wants may end if it was asked for at this moment.
 *
 * Context: Any context with IRQs on.
 */
void syscall_slowpath_end_delays(struct syscall_slowpath_attachment *att)
{
	spin_lock_irq(&syscall_slowpath_lock);
	end_delays(att);
	spin_unlock_irq(&syscall_slowpath_lock);
	wake_delayed(att);
}
EXPORT_SYMBOL_GPL(syscall_slowpath_end_delays);

static struct audit_buffer *begin_audit(const char *op)
{
	struct audit_buffer *ab;

	if (!audit_enabled)
		return NULL;

	ab = audit_log_start(audit_context(), GFP_KERNEL, AUDIT_CONFIG_CHANGE);
	if (ab) {
		audit_log_format(ab, "op=syscall-slowpath-%s", op);
		audit_log_task_info(ab);
	}
	return ab;
}

static void end_audit(struct audit_buffer *ab, int err)
{
	audit_log_format(ab, " res=%d", !err);
	audit_log_end(ab);
}

static void audit_task(const char *op, struct task_struct *task, int err)
{
	struct audit_buffer *ab = begin_audit(op);
	char comm[TASK_COMM_LEN];

	if (!ab)
		return;
	audit_log_format(ab, " opid=%d ocomm=", task_pid_nr(task));
	audit_log_untrustedstring(ab, get_task_comm(comm, task));
	end_audit(ab, err);
}

/**
 * syscall_slowpath_audit - Leave an audit record of what was done to a handler
 * @op:		What was done, in a word
 * @name:	To which part of it, such as a policy; or NULL
 * @err:	0, or the error that it failed with
 *
 * Attaching, detaching and killing leave theirs without this.
 *
 * Context: Process context of whoever did it, may sleep.
 */
void syscall_slowpath_audit(const char *op, const char *name, int err)
{
	struct audit_buffer *ab = begin_audit(op);

	if (!ab)
		return;
	if (name) {
		audit_log_format(ab, " name=");
		audit_log_untrustedstring(ab, name);
	}
	end_audit(ab, err);
}
EXPORT_SYMBOL_GPL(syscall_slowpath_audit);

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
	atomic_set(&handler->nr_attachments, 0);
	INIT_LIST_HEAD(&handler->attachments);
	return 0;
}
EXPORT_SYMBOL_GPL(syscall_slowpath_register);

/**
 * syscall_slowpath_unregister - Unregister a handler
 * @handler:	The handler
 *
 * Detaches its tasks, and returns when none of its callbacks runs or will run, and
 * every attachment was released.
 *
 * Context: Process context, may sleep for as long as its hooks do. Not in a
 * deferred call.
 */
void syscall_slowpath_unregister(struct syscall_slowpath_handler *handler)
{
	spin_lock_irq(&syscall_slowpath_lock);
	handler->closing = true;
	spin_unlock_irq(&syscall_slowpath_lock);

	syscall_slowpath_detach_all(handler);
	wait_var_event(&handler->nr_attachments, !atomic_read_acquire(&handler->nr_attachments));
}
EXPORT_SYMBOL_GPL(syscall_slowpath_unregister);

/**
 * syscall_slowpath_attach - Attach a task to a handler
 * @handler:	A registered handler
 * @att:	A zeroed attachment, the handler's from now until @release
 * @task:	The task, to which the caller holds a reference
 *
 * Context: Process context, of whoever wants @task to be attached. Waits for an
 * exec of @task, and must not be in one.
 * Return: 0; -EINTR if the current task is killed meanwhile; -EPERM for a task
 * that makes no syscalls, or that the current one must not attach to as a tracer,
 * -ESRCH for one that is exiting, -EBUSY for one that is attached, -ESHUTDOWN when
 * @handler is being unregistered. After an error the handler still owns @att.
 */
int syscall_slowpath_attach(struct syscall_slowpath_handler *handler,
			    struct syscall_slowpath_attachment *att,
			    struct task_struct *task)
{
	int ret = 0;

	if (task->flags & (PF_KTHREAD | PF_USER_WORKER))
		return -EPERM;
	/* An exec looks at its attachment before it gives privileges, and does so under this. */
	if (mutex_lock_killable(&task->signal->cred_guard_mutex))
		return -EINTR;
	/* A handler can do to a task what a tracer can. */
	if (!ptrace_may_access(task, PTRACE_MODE_ATTACH_REALCREDS)) {
		mutex_unlock(&task->signal->cred_guard_mutex);
		audit_task("attach", task, -EPERM);
		return -EPERM;
	}

	spin_lock_irq(&syscall_slowpath_lock);
	if (handler->closing) {
		ret = -ESHUTDOWN;
	} else if (attachment_of(task)) {
		ret = -EBUSY;
	} else {
		att->handler = handler;
		att->cred = get_current_cred();
		att->nr_tasks = 1;
		att->nr_ended = ++last_ended;
		INIT_LIST_HEAD(&att->tasks);
		INIT_WORK(&att->left_work, end_attachment_work);
		update_hooks(att);
		rcu_assign_pointer(task->syscall_slowpath, att);
		/* Pairs with syscall_slowpath_exit(): it sees @att, or we PF_EXITING. */
		smp_mb();
		if (READ_ONCE(task->flags) & PF_EXITING) {
			RCU_INIT_POINTER(task->syscall_slowpath, NULL);
			put_cred(att->cred);
			ret = -ESRCH;
		} else {
			atomic_inc(&handler->nr_attachments);
			list_add_tail(&task->syscall_slowpath_node, &att->tasks);
			list_add_tail(&att->node, &handler->attachments);
			syscall_slowpath_update_work(task);
			trace_syscall_slowpath_attach(task);
		}
	}
	spin_unlock_irq(&syscall_slowpath_lock);
	mutex_unlock(&task->signal->cred_guard_mutex);
	if (!ret)
		audit_task("attach", task, 0);
	return ret;
}
EXPORT_SYMBOL_GPL(syscall_slowpath_attach);

/**
 * syscall_slowpath_detach - Detach a task
 * @handler:	The handler that it is attached to
 * @task:	The task, to which the caller holds a reference
 *
 * A hook that is running in @task goes on; the task's next syscall runs none.
 *
 * Context: Process context, may sleep.
 * Return: 0, or -ESRCH if @task is not attached to @handler.
 */
int syscall_slowpath_detach(struct syscall_slowpath_handler *handler,
			    struct task_struct *task)
{
	struct syscall_slowpath_attachment *att;
	struct srcu_ctr __percpu *scp;
	bool last = false;

	/* Keeps the attachment until its tasks are awake, whoever has the others leave. */
	scp = srcu_read_lock_fast(&syscall_slowpath_srcu);
	spin_lock_irq(&syscall_slowpath_lock);
	att = attachment_of(task);
	if (att && att->handler != handler)
		att = NULL;
	if (att)
		last = unlink_task(task);
	spin_unlock_irq(&syscall_slowpath_lock);
	if (att && !last)
		wake_delayed(att);
	srcu_read_unlock_fast(&syscall_slowpath_srcu, scp);

	if (last)
		end_attachment(att);
	if (att)
		audit_task("detach", task, 0);
	return att ? 0 : -ESRCH;
}
EXPORT_SYMBOL_GPL(syscall_slowpath_detach);

/**
 * syscall_slowpath_flush_left - Wait until tasks that have exited have left nothing
 *
 * For who wants the name of one of them, say: when this returns, so has @left of
 * each attachment whose last task had exited.
 *
 * Context: Process context, may sleep. Not in @left.
 */
void syscall_slowpath_flush_left(void)
{
	flush_workqueue(left_wq);
}
EXPORT_SYMBOL_GPL(syscall_slowpath_flush_left);

/**
 * syscall_slowpath_detach_all - Detach every task of a handler
 * @handler:	The handler
 *
 * Those that are attached while this runs may stay so.
 *
 * Context: Process context, may sleep.
 */
void syscall_slowpath_detach_all(struct syscall_slowpath_handler *handler)
{
	struct syscall_slowpath_attachment *att;
	unsigned int n = 0;
	LIST_HEAD(all);

	spin_lock_irq(&syscall_slowpath_lock);
	list_splice_init(&handler->attachments, &all);
	list_for_each_entry(att, &all, node)
		att->closing = true;

	while (!list_empty(&all)) {
		att = list_first_entry(&all, struct syscall_slowpath_attachment, node);
		if (unlink_task(list_first_entry(&att->tasks, struct task_struct,
						 syscall_slowpath_node))) {
			spin_unlock_irq(&syscall_slowpath_lock);
			end_attachment(att);
			spin_lock_irq(&syscall_slowpath_lock);
		}
		if (++n % BATCH == 0)
			relax_lock();
	}
	spin_unlock_irq(&syscall_slowpath_lock);

	syscall_slowpath_audit("detach-all", NULL, 0);
}
EXPORT_SYMBOL_GPL(syscall_slowpath_detach_all);

/**
 * syscall_slowpath_enable - Switch all of a handler's attachments on or off
 * @handler:	The handler
 * @enable:	False puts its tasks back on the fast path, still attached
 *
 * Context: Process context, may sleep.
 */
void syscall_slowpath_enable(struct syscall_slowpath_handler *handler, bool enable)
{
	struct syscall_slowpath_attachment *att;
	struct srcu_ctr __percpu *scp;
	size_t n;

	/* One walk at a time: what it has turned back is done before the next one counts. */
	guard(mutex)(&enable_lock);
	/* Keeps attachments while the lock is given up. */
	scp = srcu_read_lock_fast(&syscall_slowpath_srcu);
	spin_lock_irq(&syscall_slowpath_lock);
	handler->enabled = enable;
	for (n = list_count_nodes(&handler->attachments); n; n--) {
		if (list_empty(&handler->attachments))
			break;
		list_rotate_left(&handler->attachments);
		att = list_last_entry(&handler->attachments,
				      struct syscall_slowpath_attachment, node);
		update_hooks(att);
		update_tasks(att);
		spin_unlock_irq(&syscall_slowpath_lock);
		wake_delayed(att);
		cond_resched();
		spin_lock_irq(&syscall_slowpath_lock);
	}
	spin_unlock_irq(&syscall_slowpath_lock);
	srcu_read_unlock_fast(&syscall_slowpath_srcu, scp);
	syscall_slowpath_audit(enable ? "enable-all" : "disable-all", NULL, 0);
}
EXPORT_SYMBOL_GPL(syscall_slowpath_enable);

/**
 * syscall_slowpath_enable_attachment - Switch one attachment on or off
 * @att:	The attachment, which the caller keeps from being freed
 * @enable:	False puts its tasks back on the fast path, still attached
 *
 * Context: Process context, may sleep.
 */
void syscall_slowpath_enable_attachment(struct syscall_slowpath_attachment *att, bool enable)
{
	spin_lock_irq(&syscall_slowpath_lock);
	att->disabled = !enable;
	/* Without a task it may have outlived its handler. */
	if (att->nr_tasks) {
		update_hooks(att);
		update_tasks(att);
	}
	spin_unlock_irq(&syscall_slowpath_lock);
	wake_delayed(att);
}
EXPORT_SYMBOL_GPL(syscall_slowpath_enable_attachment);

/**
 * syscall_slowpath_force_all - Keep every task off the fast path
 * @force:	True: all tasks, present and future; false: no longer, once for each true
 *
 * Context: Process context, may sleep.
 */
void syscall_slowpath_force_all(bool force)
{
	struct task_struct *p, *t;

	spin_lock_irq(&syscall_slowpath_lock);
	WRITE_ONCE(nr_forced, nr_forced + (force ? 1 : -1));
	spin_unlock_irq(&syscall_slowpath_lock);

	/* Who forks now has seen it in syscall_slowpath_fork(), or the walk sees the child. */
	read_lock(&tasklist_lock);
	read_unlock(&tasklist_lock);

	guard(rcu)();
	for_each_process_thread(p, t) {
		spin_lock_irq(&syscall_slowpath_lock);
		syscall_slowpath_update_work(t);
		spin_unlock_irq(&syscall_slowpath_lock);
	}
}
EXPORT_SYMBOL_GPL(syscall_slowpath_force_all);

/**
 * syscall_slowpath_nr_tasks - How many live tasks share an attachment
 * @att:	The attachment, which the caller keeps from being freed
 *
 * Context: Any context.
 */
unsigned int syscall_slowpath_nr_tasks(struct syscall_slowpath_attachment *att)
{
	return READ_ONCE(att->nr_tasks);
}
EXPORT_SYMBOL_GPL(syscall_slowpath_nr_tasks);

/**
 * syscall_slowpath_capable - Whether who attached the task may let it gain privileges
 * @ns:		The user namespace in which it would have them
 *
 * What ptracer_capable() is for a tracer.
 *
 * Context: In the task, may sleep.
 */
bool syscall_slowpath_capable(struct user_namespace *ns)
{
	struct syscall_slowpath_attachment *att;
	struct srcu_ctr __percpu *scp;
	bool capable;

	if (likely(!rcu_access_pointer(current->syscall_slowpath)))
		return true;

	scp = srcu_read_lock_fast(&syscall_slowpath_srcu);
	att = srcu_dereference(current->syscall_slowpath, &syscall_slowpath_srcu);
	capable = !att || !security_capable(att->cred, ns, CAP_SYS_PTRACE, CAP_OPT_NOAUDIT);
	srcu_read_unlock_fast(&syscall_slowpath_srcu, scp);
	return capable;
}

/**
 * syscall_slowpath_dup - Forget what a new task copied of its parent's attachment
 * @child:	The new task, which nobody else can find yet
 */
void syscall_slowpath_dup(struct task_struct *child)
{
	RCU_INIT_POINTER(child->syscall_slowpath, NULL);
	INIT_LIST_HEAD(&child->syscall_slowpath_node);
	child->syscall_slowpath_saved = NULL;
	clear_task_syscall_work(child, SYSCALL_SLOWPATH);
}

/**
 * syscall_slowpath_fork - Let a new task share its parent's attachment, or not
 * @child:	The new task, just linked into the task list
 * @clone_flags: The flags that it was made with
 *
 * Somebody may have found @child, and attached it, a moment ago.
 *
 * Context: In the parent, with tasklist_lock held for writing.
 */
void syscall_slowpath_fork(struct task_struct *child, u64 clone_flags)
{
	struct syscall_slowpath_attachment *att;

	if (unlikely(current->syscall_slowpath_saved))
		syscall_slowpath_fork_call(child);

	if (likely(!rcu_access_pointer(current->syscall_slowpath) && !READ_ONCE(nr_forced)))
		return;

	guard(spinlock)(&syscall_slowpath_lock);
	att = attachment_of(current);
	if (att && !attachment_of(child) && !att->closing &&
	    !(child->flags & (PF_KTHREAD | PF_USER_WORKER)) &&
	    att->handler->ops->fork && att->handler->ops->fork(att, child, clone_flags)) {
		WRITE_ONCE(att->nr_tasks, att->nr_tasks + 1);
		list_add_tail(&child->syscall_slowpath_node, &att->tasks);
		rcu_assign_pointer(child->syscall_slowpath, att);
		trace_syscall_slowpath_attach(child);
	}
	syscall_slowpath_update_work(child);
}

/**
 * syscall_slowpath_exec - Forget how a call was changed that has no return
 *
 * Context: In the task, which has passed the point of no return of an exec.
 */
void syscall_slowpath_exec(void)
{
	if (unlikely(current->syscall_slowpath_saved))
		syscall_slowpath_forget_call();
}

/**
 * syscall_slowpath_exit - Take an exiting task off its attachment
 * @task:	current, with PF_EXITING set
 *
 * Waits for nobody: what ends with an attachment ends in a work item.
 *
 * Context: In the task, before its parent can reap it; IRQs on.
 */
void syscall_slowpath_exit(struct task_struct *task)
{
	struct syscall_slowpath_attachment *att;

	if (unlikely(task->syscall_slowpath_saved))
		syscall_slowpath_forget_call();

	/* Pairs with syscall_slowpath_attach(). */
	smp_mb();
	if (likely(!rcu_access_pointer(task->syscall_slowpath)))
		return;

	guard(spinlock_irq)(&syscall_slowpath_lock);
	att = attachment_of(task);
	if (att && unlink_task(task))
		queue_work(left_wq, &att->left_work);
}

static int __init syscall_slowpath_init(void)
{
	deferred_wq = alloc_workqueue("syscall_slowpath", WQ_UNBOUND, 0);
	left_wq = alloc_workqueue("syscall_slowpath_left", WQ_UNBOUND, 0);
	if (!deferred_wq || !left_wq)
		panic("syscall_slowpath: no workqueue");
	return register_module_notifier(&module_nb);
}
core_initcall(syscall_slowpath_init);
