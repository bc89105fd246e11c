// SPDX-License-Identifier: GPL-2.0

//! Counts the syscalls of a process: `insmod slowpath_minimal.ko pid=PID`, or of one task:
//! `tid=TID`, or of the cgroups that name its group: `group=NAME`.

use kernel::{
    prelude::*,
    sync::atomic::{ordering::Relaxed, Atomic},
    syscall_slowpath::{Entry, Handler, Verdict},
    task::Pid, //
};

kernel::module_syscall_handler! {
    type: Calls,
    data: try_init!(Calls {
        id: module_parameters::tid.value().max(module_parameters::pid.value()),
        count: Atomic::new(0),
    }),
    name: "slowpath_minimal",
    authors: ["The Slowpath developers"],
    description: "Sample: counts the syscalls of a task",
    license: "GPL",
}

struct Calls {
    id: Pid,
    count: Atomic<u64>,
}

#[vtable]
impl Handler for Calls {
    fn enter(&self, _call: Entry<'_>) -> Verdict {
        self.count.add(1, Relaxed);
        Verdict::Call
    }
}

/// When the task has exited, or the module is unloaded; with a process, only then.
impl Drop for Calls {
    fn drop(&mut self) {
        pr_info!("task {} made {} calls\n", self.id, self.count.load(Relaxed));
    }
}
