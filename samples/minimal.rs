// SPDX-License-Identifier: GPL-2.0

//! Counts the syscalls that the program which loads this module makes until it exits.

use kernel::{
    prelude::*,
    sync::atomic::{ordering::Relaxed, Atomic},
    syscall_slowpath::{Entry, Handler, Registration, Verdict}, //
};

module! {
    type: Minimal,
    name: "slowpath_minimal",
    authors: ["The Slowpath developers"],
    description: "Minimal syscall slow path handler",
    license: "GPL",
}

#[pin_data]
struct Minimal {
    #[pin]
    registration: Registration<Calls>,
}

impl kernel::InPlaceModule for Minimal {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            registration <- Registration::new(),
        })
        .pin_chain(|this| {
            let calls = Calls(Atomic::new(0));
            this.registration.attach(current!(), Ok(calls)).map(drop)
        })
    }
}

struct Calls(Atomic<i64>);

#[vtable]
impl Handler for Calls {
    fn enter(&self, _call: Entry<'_>) -> Verdict {
        self.0.add(1, Relaxed);
        Verdict::Call
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        pr_info!("the task made {} syscalls\n", self.0.load(Relaxed));
    }
}
