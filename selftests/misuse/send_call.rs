// SPDX-License-Identifier: GPL-2.0

//! A call cannot be handed to another task.

use kernel::{prelude::*, syscall_slowpath::*};

struct Send;

fn send(_what: impl core::marker::Send) {}

#[vtable]
impl Handler for Send {
    fn enter(&self, call: Entry<'_>) -> Verdict {
        send(call); //~ E0277
        Verdict::Call
    }
}
