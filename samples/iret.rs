// SPDX-License-Identifier: GPL-2.0

//! Has a task, and the children that it makes from then on, return from every syscall by IRET:
//! `insmod slowpath_iret.ko tid=TID`.

use kernel::{
    prelude::*,
    syscall_slowpath::{Exit, ExitPath, Handler, Registration},
    task::Task, //
};

module! {
    type: Iret,
    name: "slowpath_iret",
    authors: ["The Slowpath developers"],
    description: "Sample: has a task leave syscalls by IRET",
    license: "GPL",
    params: {
        tid: i32 {
            default: 0,
            description: "The task",
        },
    },
}

#[pin_data]
struct Iret {
    #[pin]
    registration: Registration<ByIret>,
}

impl kernel::InPlaceModule for Iret {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        let tid = module_parameters::tid.value();
        try_pin_init!(Self { registration <- Registration::new() })
            .pin_chain(move |this| this.registration.attach_tid(tid, Ok(ByIret)).map(drop))
    }
}

struct ByIret;

#[vtable]
impl Handler for ByIret {
    fn exit_work(&self, _exit: Exit<'_>) -> ExitPath {
        ExitPath::Iret
    }

    fn inherit(&self, _child: &Task) -> bool {
        true
    }
}
