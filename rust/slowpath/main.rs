// SPDX-License-Identifier: GPL-2.0

//! Syscall filter and exit-work handler for live tasks.

use kernel::{
    prelude::*,
    sync::Arc, //
};

// The layers: each uses those above it, and none below it. `scripts/layers` goes by this order.

/// Text to rules, and rules to what becomes of a call. No kernel types.
mod rules;

/// The rules in force.
mod policy;

/// What attached tasks share.
mod group;

/// What runs in the tasks.
mod hooks;

/// Who is attached.
mod control;

/// What users see.
mod files;

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
    _root: files::Root,
}

impl kernel::InPlaceModule for Slowpath {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        pin_init::pin_init_scope(|| {
            let control = control::Control::new()?;
            let root = files::Root::new(&control)?;
            Ok(try_pin_init!(Self {
                control,
                _root: root,
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
