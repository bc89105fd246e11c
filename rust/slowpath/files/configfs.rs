// SPDX-License-Identifier: GPL-2.0

//! `/sys/kernel/config/slowpath`, which has a directory for policies, and one for groups.

use super::{
    groups::GroupsDir,
    policies::{Policies, PoliciesDir}, //
};
use crate::control::Control;
use kernel::{
    configfs::{configfs_attrs, Subsystem},
    prelude::*,
    sync::Arc, //
};

/// Holds directories.
pub(super) struct ConfigDir;

/// Registers it. What users make there keeps the module loaded: no step of loading it may come
/// after this one.
pub(super) fn register(
    control: &Arc<Control>,
    policies: &Arc<Policies>,
) -> Result<Pin<KBox<Subsystem<ConfigDir>>>> {
    let item_type = configfs_attrs! {
        container: Subsystem<ConfigDir>,
        data: ConfigDir,
        attributes: [],
    };
    let groups = [
        PoliciesDir::default_group(policies.clone())?,
        GroupsDir::default_group(control.clone(), policies.clone())?,
    ];
    let subsystem =
        Subsystem::with_groups(c"slowpath", item_type, Ok::<_, Error>(ConfigDir), groups);
    KBox::pin_init(subsystem, GFP_KERNEL)
}
