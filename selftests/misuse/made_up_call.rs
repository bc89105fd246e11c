// SPDX-License-Identifier: GPL-2.0

//! A call cannot be made up.

use kernel::{prelude::*, syscall_slowpath::*};

fn made_up() -> HookContext<'static> {
    HookContext(core::marker::PhantomData) //~ E0423
}
