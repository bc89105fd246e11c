// SPDX-License-Identifier: GPL-2.0

//! A registration stays where the kernel knows it.

use kernel::{prelude::*, syscall_slowpath::*};

struct Nothing;

#[vtable]
impl Handler for Nothing {}

fn moved(mut registration: Pin<KBox<Registration<Nothing>>>, other: Registration<Nothing>) {
    *registration = other; //~ E0594
}
