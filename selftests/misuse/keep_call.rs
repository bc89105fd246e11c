// SPDX-License-Identifier: GPL-2.0

//! A call cannot be kept for later.

use kernel::{prelude::*, syscall_slowpath::*};

struct Keep;

fn keep(_call: Entry<'static>) {}

#[vtable]
impl Handler for Keep {
    fn enter(&self, call: Entry<'_>) -> Verdict {
        keep(call); //~ E0521
        Verdict::Call
    }
}
