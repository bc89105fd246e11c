// SPDX-License-Identifier: GPL-2.0

//! `/sys/kernel/slowpath/tasks/TID`, one for each group that is made by attaching a task.

use super::{
    knobs::Knobs,
    policies::Policies, //
};
use crate::group::{GroupData, Kept};
use kernel::{
    kobject::{Attribute, Attributes, Dir, Parent},
    prelude::*,
    str::CString,
    sync::Arc,
    syscall_slowpath::SharedGroup,
    task::Pid, //
};

/// Makes the directory of the group of the task `tid` in `parent`, which goes when what is
/// returned is dropped.
pub(super) fn make_dir<P: Parent + Send + Sync + 'static>(
    parent: P,
    tid: Pid,
    group: Arc<SharedGroup<GroupData>>,
    policies: Arc<Policies>,
) -> Result<Kept> {
    // It keeps this name, whatever becomes of the task.
    let name = CString::try_from_fmt(fmt!("{tid}"))?;
    let files = TaskFiles(Knobs {
        name: CString::try_from(&*name)?,
        group,
        policies,
    });
    Ok(KBox::new(Dir::new(parent, &name, files)?, GFP_KERNEL)?)
}

/// The knobs of one group.
struct TaskFiles(Knobs);

impl Attributes for TaskFiles {
    const ATTRIBUTES: &'static [Attribute<Self>] = &[
        Attribute::rw(
            c"enabled",
            0o600,
            |files, page| files.0.show_enabled(page),
            |files, text| files.0.store_enabled(text),
        ),
        Attribute::rw(
            c"policy",
            0o600,
            |files, page| files.0.show_policy(page),
            |files, text| files.0.store_policy(text),
        ),
        Attribute::rw(
            c"exit_path",
            0o600,
            |files, page| files.0.show_exit_path(page),
            |files, text| files.0.store_exit_path(text),
        ),
        Attribute::rw(
            c"count_exits",
            0o600,
            |files, page| files.0.show_count_exits(page),
            |files, text| files.0.store_count_exits(text),
        ),
        Attribute::ro(c"stats", 0o400, |files, page| files.0.show_stats(page)),
    ];
}
