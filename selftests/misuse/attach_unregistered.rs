// SPDX-License-Identifier: GPL-2.0

//! A handler that is not registered has no tasks.

use kernel::{prelude::*, syscall_slowpath::*};

struct Nothing;

#[vtable]
impl Handler for Nothing {}

fn attach(registration: Pin<KBox<Registration<Nothing>>>) -> Result {
    drop(registration);
    registration.group(c"n", Follow::All, Ok(Nothing)).map(drop) //~ E0382
}
