// SPDX-License-Identifier: GPL-2.0

//! Hooks of several tasks run at a time, with the same data.

use kernel::{prelude::*, syscall_slowpath::*};

struct NotShared(core::cell::Cell<u32>);

#[vtable]
impl Handler for NotShared {} //~ E0277
