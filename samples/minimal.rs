// SPDX-License-Identifier: GPL-2.0

//! Counts the syscalls of a task: `insmod slowpath_minimal.ko tid=TID`.

use kernel::{
    prelude::*,
    sync::atomic::{ordering::Relaxed, Atomic},
    syscall_slowpath::{Entry, Handler, Registration, Verdict},
    task::Pid, //
};

module! {
    type: Minimal,
    name: "slowpath_minimal",
    authors: ["The Slowpath developers"],
    description: "Sample: counts the syscalls of a task",
    license: "GPL",
    params: {
        tid: i32 {
            default: 0,
            description: "The task",
        },
    },
}

#[pin_data]
struct Minimal {
    #[pin]
    registration: Registration<Calls>,
}

impl kernel::InPlaceModule for Minimal {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        let tid = module_parameters::tid.value();
        // Made if there is the task: what is dropped says something.
        let calls = try_init!(Calls {
            tid,
            count: Atomic::new(0),
        });
        try_pin_init!(Self { registration <- Registration::new() })
            .pin_chain(move |this| this.registration.attach_tid(tid, calls).map(drop))
    }
}

struct Calls {
    tid: Pid,
    count: Atomic<u64>,
}

#[vtable]
impl Handler for Calls {
    fn enter(&self, _call: Entry<'_>) -> Verdict {
        self.count.add(1, Relaxed);
        Verdict::Call
    }
}

/// When the task has exited, or the module is unloaded.
impl Drop for Calls {
    fn drop(&mut self) {
        pr_info!(
            "task {} made {} calls\n",
            self.tid,
            self.count.load(Relaxed)
        );
    }
}
