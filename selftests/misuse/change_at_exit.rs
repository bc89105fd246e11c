// SPDX-License-Identifier: GPL-2.0

//! A call is not changed when it is over.

use kernel::{prelude::*, syscall_slowpath::*};

struct TooLate;

#[vtable]
impl Handler for TooLate {
    fn exit_work(&self, mut exit: Exit<'_>) -> ExitPath {
        let _ = exit.set_argument(0, 1); //~ E0599
        ExitPath::Auto
    }
}
