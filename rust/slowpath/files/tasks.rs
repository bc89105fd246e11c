// SPDX-License-Identifier: GPL-2.0

//! `/sys/kernel/slowpath/tasks/TID`, one for each group that is made by attaching a task.

use super::{
    input::{parse_switch, require_admin, show_switch, value},
    policies::Policies,
    stats::StatsFiles, //
};
use crate::group::{GroupData, Kept};
use kernel::{
    fmt::Write,
    kobject::{Attribute, Attributes, Dir, Page, Parent},
    prelude::*,
    str::CString,
    sync::Arc,
    syscall_slowpath::{audit, SharedGroup},
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
    let stats = StatsFiles::One(group.data().stats.clone());
    let files = TaskFiles {
        tid,
        policies,
        group,
    };
    // It keeps this name, whatever becomes of the task.
    let name = CString::try_from_fmt(fmt!("{tid}"))?;
    let dir = Arc::new(Dir::new(parent, &name, files)?, GFP_KERNEL)?;
    Ok(KBox::new(Dir::new(dir, c"stats", stats)?, GFP_KERNEL)?)
}

/// The knobs of one group.
struct TaskFiles {
    tid: Pid,
    policies: Arc<Policies>,
    group: Arc<SharedGroup<GroupData>>,
}

impl Attributes for TaskFiles {
    const ATTRIBUTES: &'static [Attribute<Self>] = &[
        Attribute::rw(c"enabled", 0o600, Self::show_enabled, Self::store_enabled),
        Attribute::rw(c"inherit", 0o600, Self::show_inherit, Self::store_inherit),
        Attribute::rw(c"policy", 0o600, Self::show_policy, Self::store_policy),
        Attribute::rw(
            c"exit_path",
            0o600,
            Self::show_exit_path,
            Self::store_exit_path,
        ),
        Attribute::ro(c"members", 0o400, Self::show_members),
    ];
}

impl TaskFiles {
    fn data(&self) -> &GroupData {
        self.group.data()
    }

    /// Leaves an audit record of a write.
    fn audit(&self, file: &CStr, value: &CStr, result: &Result) {
        // Without memory for the name there is a record all the same.
        match CString::try_from_fmt(fmt!("{}:{value}", self.tid)) {
            Ok(name) => audit(file, &name, result),
            Err(_) => audit(file, value, result),
        }
    }

    fn show_enabled(&self, page: &mut Page<'_>) -> Result {
        require_admin()?;
        show_switch(page, self.data().enabled())
    }

    fn store_enabled(&self, text: &[u8]) -> Result {
        require_admin()?;
        let enable = parse_switch(text)?;
        GroupData::enable(&self.group, enable);
        self.audit(c"enabled", if enable { c"1" } else { c"0" }, &Ok(()));
        Ok(())
    }

    fn show_inherit(&self, page: &mut Page<'_>) -> Result {
        require_admin()?;
        show_switch(page, self.data().inherits())
    }

    fn store_inherit(&self, text: &[u8]) -> Result {
        require_admin()?;
        GroupData::set_inherits(&self.group, parse_switch(text)?);
        Ok(())
    }

    fn show_policy(&self, page: &mut Page<'_>) -> Result {
        require_admin()?;
        self.data().policy_name(|name| {
            for &byte in name.to_bytes() {
                page.write_char(char::from(byte))?;
            }
            Ok(page.write_char('\n')?)
        })
    }

    fn store_policy(&self, text: &[u8]) -> Result {
        require_admin()?;
        let policy = match value(text) {
            b"" => return Err(EINVAL),
            b"none" => None,
            name => {
                let name = core::str::from_utf8(name).map_err(|_| ENOENT)?;
                let name = CString::try_from_fmt(fmt!("{name}"))?;
                Some(self.policies.find(&name)?)
            }
        };
        let name = policy.as_ref().map(|used| used.policy.clone());
        let result = GroupData::set_policy(&self.group, policy);
        let name = name.as_ref().map_or(c"none", |policy| policy.name());
        self.audit(c"policy", name, &result);
        result
    }

    fn show_exit_path(&self, page: &mut Page<'_>) -> Result {
        require_admin()?;
        let iret = self.data().iret();
        Ok(page.write_str(if iret { "iret\n" } else { "auto\n" })?)
    }

    fn store_exit_path(&self, text: &[u8]) -> Result {
        require_admin()?;
        let iret = match value(text) {
            b"auto" => false,
            b"iret" => true,
            _ => return Err(EINVAL),
        };
        self.data().set_iret(iret);
        Ok(())
    }

    fn show_members(&self, page: &mut Page<'_>) -> Result {
        require_admin()?;
        Ok(writeln!(page, "{}", self.group.nr_tasks())?)
    }
}
