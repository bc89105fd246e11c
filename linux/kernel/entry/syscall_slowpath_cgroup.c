// SPDX-License-Identifier: GPL-2.0
/*
 * Groups with a handler on the syscall slow path, for cgroups.
 *
 * slowpath.group names the group of a cgroup: every task in it and below it is in that,
 * but for those in a group of their own, and for cgroups below it that name another.
 * One that comes, by a fork, by moving, or by leaving a group of its own, is in it before
 * it can make a call, and one that goes is let go.
 *
 * A binding is what a cgroup names; each cgroup points to its nearest one, which is its
 * own or its parent's. That is changed under syscall_slowpath_mutex, and read in
 * syscall_slowpath_srcu, a grace period after which a binding is freed. Whoever changes
 * where a binding is, or where a task is, settles the tasks concerned afterwards, and
 * settling looks at both under the task's lock: so the last one has seen the last change,
 * however many do so at a time. A new task is settled when it is on the list of its
 * css_set, where a walk over the tasks finds it, and before it runs.
 *
 * The mutex nests inside cgroup_mutex, and css_set_lock inside the mutex.
 */
#include <linux/capability.h>
#include <linux/cgroup.h>
#include <linux/cred.h>
#include <linux/ptrace.h>
#include <linux/sched/task.h>
#include <linux/security.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#include "syscall_slowpath.h"

struct slowpath_cgroup {
	struct cgroup_subsys_state			css;
	/* What it names itself; under the mutex. */
	struct syscall_slowpath_binding			*own;
	struct syscall_slowpath_binding __rcu		*nearest;
	/* Tasks that a security module has kept out of the group that it names. */
	atomic64_t					kept_out;
	struct cgroup_file				events;
};

static struct slowpath_cgroup *of_css_slowpath(struct cgroup_subsys_state *css)
{
	return container_of(css, struct slowpath_cgroup, css);
}

/* Whether a cgroup below @top, and what is below that, has another binding. */
static bool names_another(struct cgroup_subsys_state *css, struct cgroup_subsys_state *top)
{
	return css != top && of_css_slowpath(css)->own;
}

/**
 * syscall_slowpath_binding_of - Find which group a task's cgroup has
 * @task:	The task
 *
 * Context: In syscall_slowpath_srcu.
 * Return: The binding, or NULL.
 */
struct syscall_slowpath_binding *syscall_slowpath_binding_of(struct task_struct *task)
{
	struct slowpath_cgroup *cgroup;

	guard(rcu)();
	cgroup = of_css_slowpath(task_css(task, slowpath_cgrp_id));
	return srcu_dereference(cgroup->nearest, &syscall_slowpath_srcu);
}

/**
 * syscall_slowpath_binding_may - Ask whether a task may be in the group of its cgroup
 * @binding:	Which group, and who has said so
 * @task:	The task, to which the caller holds a reference
 *
 * That of ptrace_may_access() which who has CAP_SYS_PTRACE is not spared, and of a thread
 * of the current task, too.
 *
 * Context: Any context in which a task can be locked by task_lock().
 */
bool syscall_slowpath_binding_may(struct syscall_slowpath_binding *binding,
				  struct task_struct *task)
{
	int err;

	scoped_with_creds(binding->cred) {
		task_lock(task);
		err = security_ptrace_access_check(task, PTRACE_MODE_ATTACH_REALCREDS);
		task_unlock(task);
	}
	return !err;
}

/**
 * syscall_slowpath_binding_kept_out - Say that a task is not in the group of its cgroup
 * @binding:	Which group
 * @task:	The task
 *
 * Context: Any context with IRQs on; in syscall_slowpath_srcu.
 */
void syscall_slowpath_binding_kept_out(struct syscall_slowpath_binding *binding,
				       struct task_struct *task)
{
	struct slowpath_cgroup *cgroup = of_css_slowpath(binding->css);

	atomic64_inc(&cgroup->kept_out);
	cgroup_file_notify(&cgroup->events);
	pr_warn_ratelimited("syscall_slowpath: a security module keeps task %d (%s) out of group %s, which its cgroup has\n",
			    task_pid_nr(task), task->comm, binding->group->name);
}

static void free_binding(struct rcu_head *rcu)
{
	struct syscall_slowpath_binding *binding = container_of(rcu, typeof(*binding), rcu);

	put_cred(binding->cred);
	css_put(binding->css);
	kfree(binding);
}

static void settle_tasks(struct cgroup_subsys_state *css)
{
	struct css_task_iter iter;
	struct task_struct *task;

	css_task_iter_start(css, 0, &iter);
	while ((task = css_task_iter_next(&iter))) {
		syscall_slowpath_settle(task, task);
		cond_resched();
	}
	css_task_iter_end(&iter);
}

/* With the mutex held. Has a cgroup name this, or nothing. */
static void bind(struct slowpath_cgroup *cgroup, struct syscall_slowpath_binding *binding)
{
	struct cgroup_subsys_state *top = &cgroup->css, *css;
	struct syscall_slowpath_binding *old = cgroup->own, *nearest = binding;

	cgroup->own = binding;
	if (binding)
		list_add(&binding->node, &binding->group->cgroups);
	else if (top->parent)
		nearest = rcu_dereference_protected(of_css_slowpath(top->parent)->nearest,
						    lockdep_is_held(&syscall_slowpath_mutex));

	rcu_read_lock();
	/* All of them first: what tasks do meanwhile finds it. */
	css_for_each_descendant_pre(css, top) {
		if (names_another(css, top))
			css = css_rightmost_descendant(css);
		else
			rcu_assign_pointer(of_css_slowpath(css)->nearest, nearest);
	}
	css_for_each_descendant_pre(css, top) {
		if (names_another(css, top)) {
			css = css_rightmost_descendant(css);
			continue;
		}
		/* One without has no tasks, either. */
		if (!css_tryget(css))
			continue;
		rcu_read_unlock();
		settle_tasks(css);
		rcu_read_lock();
		css_put(css);
	}
	rcu_read_unlock();

	if (old) {
		list_del(&old->node);
		call_srcu(&syscall_slowpath_srcu, &old->rcu, free_binding);
	}
}

/**
 * syscall_slowpath_unbind - Have no cgroup name a group any more
 * @group:	The group
 *
 * Context: With syscall_slowpath_mutex held.
 */
void syscall_slowpath_unbind(struct syscall_slowpath_group *group)
{
	struct syscall_slowpath_binding *binding, *next;

	list_for_each_entry_safe(binding, next, &group->cgroups, node)
		bind(of_css_slowpath(binding->css), NULL);
}

static int slowpath_group_show(struct seq_file *m, void *v)
{
	struct slowpath_cgroup *cgroup = of_css_slowpath(seq_css(m));

	guard(mutex)(&syscall_slowpath_mutex);
	seq_printf(m, "%s\n", cgroup->own ? cgroup->own->group->name : "none");
	return 0;
}

/* Whoever owns the cgroup, and whoever has handed the file on. */
static bool may_write(struct file *file)
{
	return capable(CAP_SYS_ADMIN) && capable(CAP_SYS_PTRACE) &&
	       file_ns_capable(file, &init_user_ns, CAP_SYS_ADMIN) &&
	       file_ns_capable(file, &init_user_ns, CAP_SYS_PTRACE);
}

static int set_group(struct slowpath_cgroup *cgroup, const char *name)
{
	struct syscall_slowpath_binding *binding = NULL;
	struct syscall_slowpath_group *group;

	if (strcmp(name, "none")) {
		binding = kzalloc_obj(*binding);
		if (!binding)
			return -ENOMEM;
	}

	guard(mutex)(&syscall_slowpath_mutex);
	if (!(cgroup->css.flags & CSS_ONLINE)) {
		kfree(binding);
		return -ENODEV;
	}
	if (binding) {
		group = syscall_slowpath_find_group(name);
		if (!group) {
			kfree(binding);
			return -ENOENT;
		}
		binding->group = group;
		binding->cred = get_current_cred();
		binding->css = &cgroup->css;
		css_get(&cgroup->css);
	}
	bind(cgroup, binding);
	return 0;
}

static ssize_t slowpath_group_write(struct kernfs_open_file *of, char *buf, size_t nbytes,
				    loff_t off)
{
	const char *name;
	int err;

	if (!may_write(of->file))
		return -EPERM;
	/* No name is cut short. */
	if (strlen(buf) != nbytes)
		return -EINVAL;
	name = strstrip(buf);
	err = set_group(of_css_slowpath(of_css(of)), name);
	syscall_slowpath_audit("cgroup", name, err);
	return err ?: nbytes;
}

static int slowpath_events_show(struct seq_file *m, void *v)
{
	seq_printf(m, "kept_out %lld\n",
		   (s64)atomic64_read(&of_css_slowpath(seq_css(m))->kept_out));
	return 0;
}

static struct cftype slowpath_files[] = {
	{
		.name = "group",
		.flags = CFTYPE_NOT_ON_ROOT,
		.seq_show = slowpath_group_show,
		.write = slowpath_group_write,
	},
	{
		.name = "events",
		.flags = CFTYPE_NOT_ON_ROOT,
		.file_offset = offsetof(struct slowpath_cgroup, events),
		.seq_show = slowpath_events_show,
	},
	{ }	/* terminate */
};

static struct cgroup_subsys_state *slowpath_css_alloc(struct cgroup_subsys_state *parent)
{
	struct slowpath_cgroup *cgroup = kzalloc_obj(*cgroup);

	return cgroup ? &cgroup->css : ERR_PTR(-ENOMEM);
}

static int slowpath_css_online(struct cgroup_subsys_state *css)
{
	struct slowpath_cgroup *parent;

	if (!css->parent)
		return 0;
	guard(mutex)(&syscall_slowpath_mutex);
	parent = of_css_slowpath(css->parent);
	rcu_assign_pointer(of_css_slowpath(css)->nearest,
			   rcu_dereference_protected(parent->nearest, true));
	return 0;
}

/*
 * It has no tasks that make calls any more. First when its directory is being removed, so
 * that the group can be removed next; and once more when nobody writes to its file.
 */
static void slowpath_css_let_go(struct cgroup_subsys_state *css)
{
	struct slowpath_cgroup *cgroup = of_css_slowpath(css);

	guard(mutex)(&syscall_slowpath_mutex);
	if (cgroup->own)
		bind(cgroup, NULL);
}

static void slowpath_css_free(struct cgroup_subsys_state *css)
{
	kfree(of_css_slowpath(css));
}

/* They are in their new cgroup, and whoever has moved them does not know it yet. */
static void slowpath_attach(struct cgroup_taskset *tset)
{
	struct cgroup_subsys_state *css;
	struct task_struct *task;

	cgroup_taskset_for_each(task, css, tset)
		syscall_slowpath_settle(task, task);
}

/* In the parent. The child does not run yet. */
static void slowpath_fork(struct task_struct *child)
{
	struct slowpath_cgroup *cgroup;

	scoped_guard(rcu) {
		cgroup = of_css_slowpath(task_css(child, slowpath_cgrp_id));
		if (likely(!rcu_access_pointer(cgroup->nearest)))
			return;
	}
	syscall_slowpath_settle(child, current);
}

struct cgroup_subsys slowpath_cgrp_subsys = {
	.css_alloc	= slowpath_css_alloc,
	.css_online	= slowpath_css_online,
	.css_killed	= slowpath_css_let_go,
	.css_offline	= slowpath_css_let_go,
	.css_free	= slowpath_css_free,
	.attach		= slowpath_attach,
	.fork		= slowpath_fork,
	.dfl_cftypes	= slowpath_files,
	/* Whatever controllers a subtree has. */
	.implicit_on_dfl = true,
	.threaded	= true,
};
