// SPDX-License-Identifier: GPL-2.0

//! What a hook reads cannot be kept longer than the hook runs.

use kernel::{prelude::*, syscall_slowpath::*};

#[pin_data]
struct Keep {
    #[pin]
    value: Published<u32>,
}

fn keep(_value: &'static u32) {}

#[vtable]
impl Handler for Keep {
    fn enter(&self, call: Entry<'_>) -> Verdict {
        keep(self.value.get(call.context())); //~ E0521
        Verdict::Call
    }
}
