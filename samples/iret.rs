// SPDX-License-Identifier: GPL-2.0

//! Has a task, and the children that it makes from then on, return from every syscall by IRET:
//! `insmod slowpath_iret.ko tid=TID`; or a process, `pid=PID`, or the cgroups that name its group,
//! `group=NAME`.

use kernel::{
    prelude::*,
    syscall_slowpath::{Exit, ExitPath, Follow, Handler}, //
};

kernel::module_syscall_handler! {
    type: ByIret,
    data: Ok(ByIret),
    follow: Follow::All,
    name: "slowpath_iret",
    authors: ["The Slowpath developers"],
    description: "Sample: has a task leave syscalls by IRET",
    license: "GPL",
}

struct ByIret;

#[vtable]
impl Handler for ByIret {
    fn exit_work(&self, _exit: Exit<'_>) -> ExitPath {
        ExitPath::Iret
    }
}
