// SPDX-License-Identifier: GPL-2.0

//! `/sys/kernel/config/slowpath/policies`, where the administrator makes policies.

use super::input::{require_admin, value};
use crate::{
    policy::{LogLimits, Place, Policy},
    rules::{MAX_DEFAULTS, MAX_RULES, MAX_TEXT}, //
};
use kernel::{
    configfs::{self, configfs_attrs, DefaultGroup},
    fmt::Write,
    new_mutex,
    page::PAGE_SIZE,
    prelude::*,
    str::Formatter,
    sync::{
        atomic::Atomic,
        Arc,
        Mutex, //
    },
    syscall_slowpath::audit, //
};

/// How many policies there may be.
const MAX_POLICIES: u32 = 256;

/// Longer than any text may be, so that one that is too long is refused with a reason.
const RULES_SIZE: usize = 2 * MAX_TEXT;

/// What a line of `hits` adds to the rule: as many digits as a counter can have, and a space.
const HITS_WIDTH: usize = 21;

const HITS_SIZE: usize = MAX_TEXT + HITS_WIDTH * (MAX_RULES + MAX_DEFAULTS);

/// How many directories there are.
static NR_DIRS: Atomic<u32> = Atomic::new(0);

/// Where policies are found.
#[pin_data]
pub(super) struct Policies {
    #[pin]
    list: Mutex<KVec<Arc<Policy>>>,
    log: Arc<LogLimits>,
}

impl Policies {
    pub(super) fn new() -> Result<Arc<Self>> {
        let log = LogLimits::new()?;
        Arc::pin_init(
            pin_init!(Self {
                list <- new_mutex!(KVec::new()),
                log,
            }),
            GFP_KERNEL,
        )
    }

    /// Finds a policy; `ENOENT` if there is none.
    pub(super) fn find(&self, name: &[u8]) -> Result<Arc<Policy>> {
        let list = self.list.lock();
        // One that is removed, and has the same name, comes before.
        let found = list
            .iter()
            .rfind(|policy| policy.name().to_bytes() == name)
            .ok_or(ENOENT)?;
        Ok(found.clone())
    }
}

/// The directory in which policies are made.
pub(super) struct PoliciesDir(Arc<Policies>);

impl PoliciesDir {
    /// Makes it, for a subsystem to have.
    pub(super) fn default_group(policies: Arc<Policies>) -> Result<DefaultGroup> {
        let item_type = configfs_attrs! {
            container: configfs::Group<PoliciesDir>,
            data: PoliciesDir,
            child: PolicyDir,
            attributes: [],
        };
        let dir = Self(policies);
        DefaultGroup::new(c"policies".try_into()?, item_type, Ok::<_, Error>(dir))
    }
}

/// A policy's directory.
pub(super) struct PolicyDir {
    policy: Arc<Policy>,
    policies: Arc<Policies>,
    _place: Place,
}

impl Drop for PolicyDir {
    fn drop(&mut self) {
        let mut list = self.policies.list.lock();
        list.retain(|other| !Arc::ptr_eq(other, &self.policy));
    }
}

#[vtable]
impl configfs::GroupOperations for PoliciesDir {
    type Child = PolicyDir;

    fn make_group(&self, name: &CStr) -> Result<impl PinInit<configfs::Group<PolicyDir>, Error>> {
        require_admin()?;
        // The name is written to files, as a word.
        if name == c"none" || !name.to_bytes().iter().all(u8::is_ascii_graphic) {
            return Err(EINVAL);
        }
        let item_type = configfs_attrs! {
            container: configfs::Group<PolicyDir>,
            data: PolicyDir,
            attributes: [
                rules: 0,
                mode: 1,
                hits: 2,
                error: 3,
            ],
        };
        let dir = PolicyDir {
            _place: Place::take(&NR_DIRS, MAX_POLICIES)?,
            policy: Policy::new(name, self.0.log.clone())?,
            policies: self.0.clone(),
        };
        let mut list = self.0.list.lock();
        list.push(dir.policy.clone(), GFP_KERNEL)?;
        drop(list);
        Ok(configfs::Group::new(
            name.try_into()?,
            item_type,
            Ok::<_, Error>(dir),
        ))
    }

    /// Not while a group is under it.
    fn may_drop_item(&self, dir: &PolicyDir) -> Result {
        dir.policy.close()
    }
}

#[vtable]
impl configfs::AttributeOperations<0> for PolicyDir {
    type Data = Self;

    const SIZE: usize = RULES_SIZE;

    fn show_sized(dir: &Self, buffer: &mut [u8]) -> Result<usize> {
        require_admin()?;
        let rules = dir.policy.lock_rules();
        let mut out = Formatter::new(buffer);
        write!(out, "{}", rules.set)?;
        Ok(out.bytes_written())
    }

    fn store(dir: &Self, text: &[u8]) -> Result {
        require_admin()?;
        dir.policy.write(text)?;
        audit(c"rules", dir.policy.name(), &Ok(()));
        Ok(())
    }

    fn append(dir: &Self, text: &[u8]) -> Result {
        require_admin()?;
        dir.policy.append(text)?;
        audit(c"rules", dir.policy.name(), &Ok(()));
        Ok(())
    }
}

#[vtable]
impl configfs::AttributeOperations<1> for PolicyDir {
    type Data = Self;

    fn show(dir: &Self, page: &mut [u8; PAGE_SIZE]) -> Result<usize> {
        require_admin()?;
        let mut out = Formatter::new(page);
        let enforce = dir.policy.enforce();
        out.write_str(if enforce { "enforce\n" } else { "log\n" })?;
        Ok(out.bytes_written())
    }

    fn store(dir: &Self, text: &[u8]) -> Result {
        require_admin()?;
        let enforce = match value(text) {
            b"enforce" => true,
            b"log" => false,
            _ => return Err(EINVAL),
        };
        dir.policy.set_enforce(enforce);
        let what = if enforce {
            c"mode-enforce"
        } else {
            c"mode-log"
        };
        audit(what, dir.policy.name(), &Ok(()));
        Ok(())
    }
}

#[vtable]
impl configfs::AttributeOperations<2> for PolicyDir {
    type Data = Self;

    const SIZE: usize = HITS_SIZE;

    fn show_sized(dir: &Self, buffer: &mut [u8]) -> Result<usize> {
        require_admin()?;
        let rules = dir.policy.lock_rules();
        let mut out = Formatter::new(buffer);
        for line in 0..rules.set.nr_lines() {
            write!(out, "{} ", rules.hits.sum(line))?;
            rules.set.fmt_line(line, &mut out)?;
            out.write_str("\n")?;
        }
        Ok(out.bytes_written())
    }
}

#[vtable]
impl configfs::AttributeOperations<3> for PolicyDir {
    type Data = Self;

    fn show(dir: &Self, page: &mut [u8; PAGE_SIZE]) -> Result<usize> {
        require_admin()?;
        dir.policy.said(|said| {
            page.get_mut(..said.len())
                .ok_or(EFBIG)?
                .copy_from_slice(said);
            Ok(said.len())
        })
    }
}
