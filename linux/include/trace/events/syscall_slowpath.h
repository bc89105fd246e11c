/* SPDX-License-Identifier: GPL-2.0 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM syscall_slowpath

#if !defined(_TRACE_SYSCALL_SLOWPATH_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_SYSCALL_SLOWPATH_H

#include <linux/sched.h>
#include <linux/syscall_slowpath.h>
#include <linux/tracepoint.h>

DECLARE_EVENT_CLASS(syscall_slowpath_task,
		    TP_PROTO(struct task_struct *task),
		    TP_ARGS(task),

		    TP_STRUCT__entry(__field(pid_t, pid)
				     __array(char, comm, TASK_COMM_LEN)
		    ),

		    TP_fast_assign(__entry->pid = task->pid;
				   memcpy(__entry->comm, task->comm, TASK_COMM_LEN);
		    ),

		    TP_printk("pid=%d comm=%s", __entry->pid, __entry->comm)
);

/* A task comes to a group, from none or another. In atomic context. */
DEFINE_EVENT(syscall_slowpath_task, syscall_slowpath_attach,
	     TP_PROTO(struct task_struct *task),
	     TP_ARGS(task)
);

/* A task leaves a group, also because it exits. In atomic context. */
DEFINE_EVENT(syscall_slowpath_task, syscall_slowpath_detach,
	     TP_PROTO(struct task_struct *task),
	     TP_ARGS(task)
);

TRACE_DEFINE_ENUM(SYSCALL_SLOWPATH_SKIP);
TRACE_DEFINE_ENUM(SYSCALL_SLOWPATH_DELAY);
TRACE_DEFINE_ENUM(SYSCALL_SLOWPATH_SIGNAL);
TRACE_DEFINE_ENUM(SYSCALL_SLOWPATH_TRAP);
TRACE_DEFINE_ENUM(SYSCALL_SLOWPATH_KILL_THREAD);
TRACE_DEFINE_ENUM(SYSCALL_SLOWPATH_KILL_PROCESS);
TRACE_DEFINE_ENUM(SYSCALL_SLOWPATH_LOG);
TRACE_DEFINE_ENUM(SYSCALL_SLOWPATH_NUMBER);
TRACE_DEFINE_ENUM(SYSCALL_SLOWPATH_ARGUMENT);
TRACE_DEFINE_ENUM(SYSCALL_SLOWPATH_RESULT);

/*
 * A handler does something other than let the current task's call go on: the
 * value is the result of a call that is not made, or what the call is given.
 * The arguments are the program's own. In a section of SRCU.
 */
TRACE_EVENT(syscall_slowpath_verdict,
	    TP_PROTO(u32 arch, int nr, unsigned int action, long value,
		     const unsigned long *args, const char *group),
	    TP_ARGS(arch, nr, action, value, args, group),

	    TP_STRUCT__entry(__field(u32, arch)
			     __field(int, nr)
			     __field(unsigned int, action)
			     __field(long, value)
			     __array(unsigned long, args, 6)
			     __string(group, group)
	    ),

	    TP_fast_assign(__entry->arch = arch;
			   __entry->nr = nr;
			   __entry->action = action;
			   __entry->value = value;
			   memcpy(__entry->args, args, sizeof(__entry->args));
			   __assign_str(group);
	    ),

	    TP_printk("arch=%x nr=%d action=%s value=%ld args=%lx,%lx,%lx,%lx,%lx,%lx group=%s",
		      __entry->arch, __entry->nr,
		      __print_symbolic(__entry->action,
				       { SYSCALL_SLOWPATH_SKIP, "skip" },
				       { SYSCALL_SLOWPATH_DELAY, "delay" },
				       { SYSCALL_SLOWPATH_SIGNAL, "signal" },
				       { SYSCALL_SLOWPATH_TRAP, "trap" },
				       { SYSCALL_SLOWPATH_KILL_THREAD, "kill_thread" },
				       { SYSCALL_SLOWPATH_KILL_PROCESS, "kill_process" },
				       { SYSCALL_SLOWPATH_LOG, "log" },
				       { SYSCALL_SLOWPATH_NUMBER, "number" },
				       { SYSCALL_SLOWPATH_ARGUMENT, "argument" },
				       { SYSCALL_SLOWPATH_RESULT, "result" }),
		      __entry->value, __entry->args[0], __entry->args[1], __entry->args[2],
		      __entry->args[3], __entry->args[4], __entry->args[5], __get_str(group))
);

/* What a handler remarks on a call of the current task. */
TRACE_EVENT(syscall_slowpath_note,
	    TP_PROTO(u32 arch, int nr, const char *text),
	    TP_ARGS(arch, nr, text),

	    TP_STRUCT__entry(__field(u32, arch)
			     __field(int, nr)
			     __string(text, text)
	    ),

	    TP_fast_assign(__entry->arch = arch;
			   __entry->nr = nr;
			   __assign_str(text);
	    ),

	    TP_printk("arch=%x nr=%d %s", __entry->arch, __entry->nr, __get_str(text))
);

#endif /* _TRACE_SYSCALL_SLOWPATH_H */

/* This part must be outside protection */
#include <trace/define_trace.h>
