// SPDX-License-Identifier: GPL-2.0
/*
 * Having tasks join and leave groups with a handler on the syscall slow path, and
 * audit records of that and of what else administrators do.
 *
 * Who has a task join needs what its tracer needs, and that is asked where ptrace
 * would: while no exec of the process gives privileges. The same mutex, of the process,
 * has those who join its tasks do so one after another, so that what one of them found
 * to be free is so until its tasks have joined.
 */
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/export.h>
#include <linux/pid.h>
#include <linux/ptrace.h>
#include <linux/ratelimit.h>
#include <linux/rculist.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>

#include <uapi/linux/pidfd.h>

#include "syscall_slowpath.h"

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

static void audit_task(const char *op, enum pid_type type, const char *name,
		       struct task_struct *task, int err)
{
	struct audit_buffer *ab = begin_audit(op);
	char comm[TASK_COMM_LEN];

	if (!ab)
		return;
	if (name) {
		audit_log_format(ab, " name=");
		audit_log_untrustedstring(ab, name);
	}
	audit_log_format(ab, " whole=%d opid=%d ocomm=", type == PIDTYPE_TGID, task_pid_nr(task));
	audit_log_untrustedstring(ab, get_task_comm(comm, task));
	end_audit(ab, err);
}

/**
 * syscall_slowpath_audit - Leave an audit record of what was done to a handler
 * @op:		What was done, in a word
 * @name:	To which part of it, such as a policy; or NULL
 * @err:	0, or the error that it failed with
 *
 * Joining, leaving and killing leave theirs without this.
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

/* Why nobody joins: a task, with a reference, and the other group that it is in, if so. */
struct refusal {
	struct task_struct	*task;
	char			name[SYSCALL_SLOWPATH_NAME_LEN];
};

/* Silent about how many it leaves out: each write that fails says so itself. */
static void log_refusal(const struct refusal *refusal, struct syscall_slowpath_group *group)
{
	static struct ratelimit_state rs =
		RATELIMIT_STATE_INIT_FLAGS(rs, DEFAULT_RATELIMIT_INTERVAL, DEFAULT_RATELIMIT_BURST,
					   RATELIMIT_MSG_ON_RELEASE);

	if (__ratelimit(&rs))
		pr_info("syscall_slowpath: task %d (%s) cannot join group %s: it is in group %s\n",
			task_pid_nr(refusal->task), refusal->task->comm, group->name,
			refusal->name);
}

/* Whether @task is in a group of its own that is not @group; sets @name to which. */
static bool is_elsewhere(struct task_struct *task, struct syscall_slowpath_group *group,
			 char *name)
{
	struct syscall_slowpath_group *other;

	syscall_slowpath_lock_task(task);
	other = rcu_dereference_protected(task->syscall_slowpath, true);
	if (other == group || task->syscall_slowpath_flags & SYSCALL_SLOWPATH_BY_CGROUP)
		other = NULL;
	/* It is kept from being released until the task is unlocked. */
	if (other)
		strscpy(name, other->name, SYSCALL_SLOWPATH_NAME_LEN);
	syscall_slowpath_unlock_task(task);
	return other;
}

/*
 * With tasklist_lock held. 0 if it may join; -EAGAIN if it makes no calls, or not any
 * more, which is no reason for the others of its process not to.
 */
static int may_join(struct task_struct *task, struct syscall_slowpath_group *group, char *name)
{
	if (task->flags & PF_KTHREAD)
		return -EPERM;
	if (READ_ONCE(task->flags) & (PF_USER_WORKER | PF_EXITING))
		return -EAGAIN;
	/* A handler can do to a task what a tracer can. This does not sleep. */
	if (!ptrace_may_access(task, PTRACE_MODE_ATTACH_REALCREDS))
		return -EPERM;
	return is_elsewhere(task, group, name) ? -EBUSY : 0;
}

/* With tasklist_lock held. The threads of @task, or that alone, that are to be looked at. */
static struct task_struct *first_of(struct task_struct *task, enum pid_type type)
{
	if (type == PIDTYPE_PID)
		return task;
	return list_first_or_null_rcu(&task->signal->thread_head, struct task_struct,
				      thread_node);
}

static struct task_struct *next_of(struct task_struct *task, enum pid_type type)
{
	return type == PIDTYPE_PID ? NULL : __next_thread(task);
}

/* With tasklist_lock held: no thread is born meanwhile. */
static int join_locked(struct syscall_slowpath_group *group, struct pid *pid, enum pid_type type,
		       u8 flags, struct refusal *refusal)
{
	struct task_struct *task, *t;
	unsigned int n = 0;
	int ret;

	/* Looked up only now: an exec may have given the number to another thread. */
	task = pid_task(pid, type);
	if (!task)
		return -ESRCH;

	for (t = first_of(task, type); t; t = next_of(t, type)) {
		ret = may_join(t, group, refusal->name);
		if (ret == -EAGAIN && type == PIDTYPE_PID)
			return t->flags & PF_USER_WORKER ? -EPERM : -ESRCH;
		if (ret && ret != -EAGAIN) {
			refusal->task = get_task_struct(t);
			return ret;
		}
		n += !ret;
	}
	if (!n)
		return -ESRCH;

	n = 0;
	for (t = first_of(task, type); t; t = next_of(t, type)) {
		if (t->flags & PF_USER_WORKER)
			continue;
		ret = syscall_slowpath_put_in(t, group, flags);
		/* Then it was closed, and who has done that takes the others off. */
		if (ret == -ESHUTDOWN)
			return ret;
		/* Nobody else has them join now, so it can only have begun to exit. */
		n += !ret;
	}
	return n ? 0 : -ESRCH;
}

/**
 * syscall_slowpath_join - Have a task, or all threads of a process, join a group
 * @group:	The group, which the caller keeps from being freed
 * @pid:	Who, which the caller keeps from being freed
 * @type:	PIDTYPE_PID for the task with this number, PIDTYPE_TGID for the process
 *
 * All join, or none: with a thread that is born meanwhile, but without those that exit,
 * and those of the kernel's own that make no calls. From now on each call of theirs is
 * judged. One that is in the group stays there, and one whose cgroup has a group, maybe
 * this one, is in this one first.
 *
 * Context: Process context, of whoever wants them to join. Waits for an exec of the
 * process, and must not be in one.
 * Return: 0; -EINTR if the current task is killed meanwhile; -EPERM for a task
 * that makes no syscalls, or that the current one must not attach to as a tracer,
 * -ESRCH if there is none that is not exiting, -EBUSY if one is in another group,
 * which the log names, -ESHUTDOWN if @group is closed.
 */
int syscall_slowpath_join(struct syscall_slowpath_group *group, struct pid *pid,
			  enum pid_type type)
{
	struct refusal refusal = {};
	struct signal_struct *signal;
	struct task_struct *task;
	int ret;
	u8 flags;

	task = get_pid_task(pid, type);
	if (!task)
		return -ESRCH;
	/* The process is the same as long as the number is its. */
	signal = task->signal;
	/* An exec looks at what is set here before it gives privileges, and does so under this. */
	if (mutex_lock_killable(&signal->cred_guard_mutex)) {
		ret = -EINTR;
		goto out;
	}
	flags = ns_capable_noaudit(&init_user_ns, CAP_SYS_PTRACE) ? 0 : SYSCALL_SLOWPATH_WEAK;

	read_lock(&tasklist_lock);
	ret = join_locked(group, pid, type, flags, &refusal);
	read_unlock(&tasklist_lock);

	mutex_unlock(&signal->cred_guard_mutex);
	if (ret == -EBUSY)
		log_refusal(&refusal, group);
	if (!ret || ret == -EPERM)
		audit_task("attach", type, group->name, refusal.task ?: task, ret);
	if (refusal.task)
		put_task_struct(refusal.task);
out:
	put_task_struct(task);
	return ret;
}
EXPORT_SYMBOL_GPL(syscall_slowpath_join);

/* Of @handler, or only of @group, if that is not NULL. */
static int leave(struct syscall_slowpath_handler *handler, struct syscall_slowpath_group *group,
		 struct pid *pid, enum pid_type type)
{
	struct syscall_slowpath_group *ended, *one = NULL;
	struct task_struct *task, *t;
	int ret = -ESRCH, err;

	/* No thread is born meanwhile. */
	read_lock(&tasklist_lock);
	task = pid_task(pid, type);
	if (task) {
		get_task_struct(task);
		for (t = first_of(task, type); t; t = next_of(t, type)) {
			err = syscall_slowpath_let_go(t, handler, group, &ended);
			/* Of this kind it is the only one of the process, or they share it. */
			if (ended)
				one = ended;
			if (!err || (err == -EBUSY && ret))
				ret = err;
		}
	}
	read_unlock(&tasklist_lock);
	if (!task)
		return -ESRCH;

	if (one)
		syscall_slowpath_end_group(one);
	if (!ret)
		audit_task("detach", type, group ? group->name : NULL, task, 0);
	put_task_struct(task);
	return ret;
}

/**
 * syscall_slowpath_leave - Have a task, or all threads of a process, leave a group
 * @group:	The group, which the caller keeps from being freed
 * @pid:	Who, which the caller keeps from being freed
 * @type:	PIDTYPE_PID for the task with this number, PIDTYPE_TGID for the process
 *
 * A hook that is running in a task goes on; the task's next syscall runs none, if its
 * cgroup has no group.
 *
 * Context: Process context, may sleep.
 * Return: 0; -ESRCH if no task of them is in the group; -EBUSY if some are, but all
 * of them because their cgroup is.
 */
int syscall_slowpath_leave(struct syscall_slowpath_group *group, struct pid *pid,
			   enum pid_type type)
{
	return leave(NULL, group, pid, type);
}
EXPORT_SYMBOL_GPL(syscall_slowpath_leave);

/**
 * syscall_slowpath_detach - Have a task leave whichever group of a handler it is in
 * @handler:	The handler
 * @pid:	The task, which the caller keeps from being freed
 *
 * Context: Process context, may sleep.
 * Return: As syscall_slowpath_leave().
 */
int syscall_slowpath_detach(struct syscall_slowpath_handler *handler, struct pid *pid)
{
	return leave(handler, NULL, pid, PIDTYPE_PID);
}
EXPORT_SYMBOL_GPL(syscall_slowpath_detach);

/**
 * syscall_slowpath_leave_all - Have all tasks leave a group
 * @group:	The group, which the caller keeps from being freed
 *
 * But for those that are in it because their cgroups are. There is a moment, while
 * this runs, at which no other is in the group.
 *
 * Context: Process context, may sleep.
 */
void syscall_slowpath_leave_all(struct syscall_slowpath_group *group)
{
	if (syscall_slowpath_empty(group))
		syscall_slowpath_end_group(group);
	syscall_slowpath_audit("leave-all", group->name, 0);
}
EXPORT_SYMBOL_GPL(syscall_slowpath_leave_all);

/**
 * syscall_slowpath_pid_of_fd - Find what a pidfd of the current task stands for
 * @fd:		The descriptor
 * @type:	Set to PIDTYPE_PID for a pidfd of a thread, else to PIDTYPE_TGID
 *
 * Context: Process context.
 * Return: Who, with a reference for the caller; or an error.
 */
struct pid *syscall_slowpath_pid_of_fd(unsigned int fd, enum pid_type *type)
{
	unsigned int flags;
	struct pid *pid = pidfd_get_pid(fd, &flags);

	if (!IS_ERR(pid))
		*type = flags & PIDFD_THREAD ? PIDTYPE_PID : PIDTYPE_TGID;
	return pid;
}
EXPORT_SYMBOL_GPL(syscall_slowpath_pid_of_fd);
