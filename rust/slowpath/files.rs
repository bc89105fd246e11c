// SPDX-License-Identifier: GPL-2.0

//! The files in `/sys/kernel/slowpath` and `/sys/kernel/config/slowpath`.
// Each of these uses those above it.

mod input;

mod policies;

mod knobs;

mod groups;

mod tasks;

mod configfs;

mod root;

pub(crate) use root::Root;
