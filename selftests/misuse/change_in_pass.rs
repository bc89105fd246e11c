// SPDX-License-Identifier: GPL-2.0

//! A call is not changed where it is only looked at.

use kernel::{prelude::*, syscall_slowpath::*};

struct Look;

#[vtable]
impl Handler for Look {
    fn pass(&self, call: &Entry<'_>) -> bool {
        call.redirect(39).is_ok() //~ E0596
    }

    fn enter(&self, _call: Entry<'_>) -> Verdict {
        Verdict::Call
    }
}
