// SPDX-License-Identifier: GPL-2.0

//! Syscall filter and exit-work handler for live tasks.

use kernel::{
    prelude::*,
    sync::Arc, //
};

mod control;
mod hooks;
mod policies;
mod policy;
mod rules;
mod stats;
mod sysfs;

module! {
    type: Slowpath,
    name: "slowpath",
    authors: ["The Slowpath developers"],
    description: "Syscall filter and exit-work handler for live tasks",
    license: "GPL",
}

#[pin_data(PinnedDrop)]
struct Slowpath {
    control: Arc<control::Control>,
    root: sysfs::Root,
}

impl kernel::InPlaceModule for Slowpath {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        pin_init::pin_init_scope(|| {
            let control = control::Control::new()?;
            let root = sysfs::Root::new(&control)?;
            Ok(try_pin_init!(Self {
                control,
                root,
            }? Error))
        })
    }
}

#[pinned_drop]
impl PinnedDrop for Slowpath {
    fn drop(self: Pin<&mut Self>) {
        self.control.close();
    }
}
