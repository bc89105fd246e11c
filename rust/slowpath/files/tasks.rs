// SPDX-License-Identifier: GPL-2.0

//! `/sys/kernel/slowpath/tasks/TID`, one for each attachment.

use super::{
    input::{parse_switch, require_admin, show_switch, value},
    policies::Policies,
    stats::StatsFiles, //
};
use crate::group::{Group, Kept};
use kernel::{
    fmt::Write,
    kobject::{Attribute, Attributes, Dir, Page, Parent},
    prelude::*,
    str::CString,
    sync::Arc,
    syscall_slowpath::{audit, Attachment},
    task::Pid, //
};

/// Makes the directory of the attachment of the task `tid` in `parent`, which goes when what is
/// returned is dropped.
pub(super) fn make_dir<P: Parent + Send + Sync + 'static>(
    parent: P,
    tid: Pid,
    attachment: Arc<Attachment<Group>>,
    policies: Arc<Policies>,
) -> Result<Kept> {
    let stats = StatsFiles::One(attachment.data().stats.clone());
    let files = TaskFiles {
        tid,
        policies,
        attachment,
    };
    // It keeps this name, whatever becomes of the task.
    let name = CString::try_from_fmt(fmt!("{tid}"))?;
    let dir = Arc::new(Dir::new(parent, &name, files)?, GFP_KERNEL)?;
    Ok(KBox::new(Dir::new(dir, c"stats", stats)?, GFP_KERNEL)?)
}

/// The knobs of one attachment.
struct TaskFiles {
    tid: Pid,
    policies: Arc<Policies>,
    attachment: Arc<Attachment<Group>>,
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
    fn group(&self) -> &Group {
        self.attachment.data()
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
        show_switch(page, self.group().enabled())
    }

    fn store_enabled(&self, text: &[u8]) -> Result {
        require_admin()?;
        let enable = parse_switch(text)?;
        Group::enable(&self.attachment, enable);
        self.audit(c"enabled", if enable { c"1" } else { c"0" }, &Ok(()));
        Ok(())
    }

    fn show_inherit(&self, page: &mut Page<'_>) -> Result {
        require_admin()?;
        show_switch(page, self.group().inherits())
    }

    fn store_inherit(&self, text: &[u8]) -> Result {
        require_admin()?;
        self.group().set_inherits(parse_switch(text)?);
        Ok(())
    }

    fn show_policy(&self, page: &mut Page<'_>) -> Result {
        require_admin()?;
        self.group().policy_name(|name| {
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
        let result = Group::set_policy(&self.attachment, policy);
        let name = name.as_ref().map_or(c"none", |policy| policy.name());
        self.audit(c"policy", name, &result);
        result
    }

    fn show_exit_path(&self, page: &mut Page<'_>) -> Result {
        require_admin()?;
        let iret = self.group().iret();
        Ok(page.write_str(if iret { "iret\n" } else { "auto\n" })?)
    }

    fn store_exit_path(&self, text: &[u8]) -> Result {
        require_admin()?;
        let iret = match value(text) {
            b"auto" => false,
            b"iret" => true,
            _ => return Err(EINVAL),
        };
        self.group().set_iret(iret);
        Ok(())
    }

    fn show_members(&self, page: &mut Page<'_>) -> Result {
        require_admin()?;
        Ok(writeln!(page, "{}", self.attachment.nr_tasks())?)
    }
}
