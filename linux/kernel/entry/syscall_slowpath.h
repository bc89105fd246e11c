/* SPDX-License-Identifier: GPL-2.0 */
/* What the files on slow path handlers share. */
#ifndef _KERNEL_ENTRY_SYSCALL_SLOWPATH_H
#define _KERNEL_ENTRY_SYSCALL_SLOWPATH_H

#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <linux/srcu.h>
#include <linux/syscall_slowpath.h>

/* Bits of task_struct::syscall_slowpath_flags. */

/* It is in its group because its cgroup is, and for no other reason. */
#define SYSCALL_SLOWPATH_BY_CGROUP	BIT(0)
/* Who had it join is not capable of CAP_SYS_PTRACE. */
#define SYSCALL_SLOWPATH_WEAK		BIT(1)
/* SYSCALL_SLOWPATH_EXITS is BIT(2). */

/* How many tasks are looked at before a group's lock is given to others. */
#define SYSCALL_SLOWPATH_BATCH		32

/* syscall_slowpath.c: tasks. */
extern struct srcu_struct syscall_slowpath_srcu;

bool syscall_slowpath_is_forced(void);

void syscall_slowpath_lock_task(struct task_struct *task);
void syscall_slowpath_unlock_task(struct task_struct *task);
void syscall_slowpath_update_work(struct task_struct *task);
int syscall_slowpath_put_in(struct task_struct *task, struct syscall_slowpath_group *group,
			    u8 flags);
int syscall_slowpath_let_go(struct task_struct *task,
			    const struct syscall_slowpath_handler *handler,
			    struct syscall_slowpath_group *group,
			    struct syscall_slowpath_group **ended);
void syscall_slowpath_settle(struct task_struct *task, struct task_struct *like);

/* Neither makes system calls. */
static inline bool syscall_slowpath_exempt(const struct task_struct *task)
{
	return task->flags & (PF_KTHREAD | PF_USER_WORKER);
}

/* syscall_slowpath_group.c: groups. */
extern struct mutex syscall_slowpath_mutex;

void syscall_slowpath_update_pass(struct syscall_slowpath_group *group);
void syscall_slowpath_wake_delayed(struct syscall_slowpath_group *group);
void syscall_slowpath_switch_group(struct syscall_slowpath_group *group);
bool syscall_slowpath_empty(struct syscall_slowpath_group *group);
int syscall_slowpath_begin_close(struct syscall_slowpath_group *group, bool force);
void syscall_slowpath_end_group(struct syscall_slowpath_group *group);
struct syscall_slowpath_group *syscall_slowpath_find_group(const char *name);

/* syscall_slowpath_handler.c: handlers. */
void syscall_slowpath_update_passes(void);
void syscall_slowpath_end_group_later(struct syscall_slowpath_group *group);

/* syscall_slowpath_call.c: calls. */
void syscall_slowpath_forget_call(void);
void syscall_slowpath_fork_call(struct task_struct *child);

/* syscall_slowpath_cgroup.c: cgroups. */

/**
 * struct syscall_slowpath_binding - That a cgroup has a group
 * @group:	The group
 * @cred:	Of who has said so
 * @css:	The cgroup
 * @node:	With the other cgroups of @group
 * @rcu:	To free it
 */
struct syscall_slowpath_binding {
	struct syscall_slowpath_group	*group;
	const struct cred		*cred;
	struct cgroup_subsys_state	*css;
	struct list_head		node;
	struct rcu_head			rcu;
};

#ifdef CONFIG_CGROUP_SLOWPATH
struct syscall_slowpath_binding *syscall_slowpath_binding_of(struct task_struct *task);
bool syscall_slowpath_binding_may(struct syscall_slowpath_binding *binding,
				  struct task_struct *task);
void syscall_slowpath_binding_kept_out(struct syscall_slowpath_binding *binding,
				       struct task_struct *task);
void syscall_slowpath_unbind(struct syscall_slowpath_group *group);
#else
static inline struct syscall_slowpath_binding *
syscall_slowpath_binding_of(struct task_struct *task)
{
	return NULL;
}

static inline bool syscall_slowpath_binding_may(struct syscall_slowpath_binding *binding,
						struct task_struct *task)
{
	return false;
}

static inline void syscall_slowpath_binding_kept_out(struct syscall_slowpath_binding *binding,
						     struct task_struct *task)
{
}

static inline void syscall_slowpath_unbind(struct syscall_slowpath_group *group)
{
}
#endif

#endif
