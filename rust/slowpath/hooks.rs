// SPDX-License-Identifier: GPL-2.0

//! What the core calls for the tasks of a group.

use crate::group::GroupData;
use kernel::{
    prelude::*,
    sync::ArcBorrow,
    syscall_slowpath::{
        Entry,
        Exit,
        ExitPath,
        Handler,
        SharedGroup,
        Verdict, //
    },
    time::Delta, //
};

#[vtable]
impl Handler for GroupData {
    const EXIT_WORK_AT_FIRST: bool = false;

    #[inline(always)]
    fn pass(&self, call: &Entry<'_>) -> bool {
        self.allows(call)
    }

    #[inline(always)]
    fn enter(&self, call: Entry<'_>) -> Verdict {
        self.judge(call)
    }

    #[inline]
    fn exit_work(&self, exit: Exit<'_>) -> ExitPath {
        self.exit(exit)
    }

    fn delayed(&self, waited: Delta) {
        // CAST: Time does not go back.
        self.stats.add_delay(waited.as_nanos() as u64);
    }

    fn left(group: ArcBorrow<'_, SharedGroup<Self>>) {
        Self::end(&group);
    }
}
