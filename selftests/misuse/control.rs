// SPDX-License-Identifier: GPL-2.0

//! Compiles: what the other files do wrong is all that is wrong with them.

use kernel::{prelude::*, syscall_slowpath::*};

struct Fine(Flag);

#[vtable]
impl Handler for Fine {
    fn enter(&self, mut call: Entry<'_>) -> Verdict {
        match call.set_argument(0, 1) {
            Ok(()) => Verdict::Call,
            Err(error) => Verdict::Errno(error),
        }
    }

    fn exit_work(&self, mut exit: Exit<'_>) -> ExitPath {
        exit.set_result(0);
        ExitPath::Auto
    }
}

fn attach(registration: &Registration<Fine>) -> Result {
    let group = registration.group(c"fine", Follow::All, Ok(Fine(Flag::new(true))))?;
    group.join(&Whom::process(1))
}
