// SPDX-License-Identifier: GPL-2.0

//! `/sys/kernel/config/slowpath`, where the administrator makes policies.

use super::input::{require_admin, value};
use crate::{
    group::UsedPolicy,
    policy::{LogLimits, Place, Policy},
    rules::{MAX_RULES, MAX_TEXT}, //
};
use kernel::{
    configfs::{self, configfs_attrs, Subsystem},
    fmt::Write,
    page::PAGE_SIZE,
    prelude::*,
    str::Formatter,
    sync::{
        atomic::Atomic,
        Arc,
        SetOnce, //
    },
    syscall_slowpath::audit, //
};

/// How many policies there may be.
const MAX_POLICIES: u32 = 256;

/// Longer than any text may be, so that one that is too long is refused with a reason.
const RULES_SIZE: usize = 2 * MAX_TEXT;

/// What a line of `hits` adds to the rule: as many digits as a counter can have, and a space.
const HITS_WIDTH: usize = 21;

const HITS_SIZE: usize = MAX_TEXT + HITS_WIDTH * (MAX_RULES + 4);

/// How many directories there are.
static NR_DIRS: Atomic<u32> = Atomic::new(0);

/// Where policies are made, and found.
pub(super) struct Policies(SetOnce<Arc<Subsystem<PoliciesDir>>>);

impl Policies {
    /// There are none, until the directory is registered.
    pub(super) fn new() -> Result<Arc<Self>> {
        Ok(Arc::new(Self(SetOnce::new()), GFP_KERNEL)?)
    }

    /// Registers `/sys/kernel/config/slowpath`. What users make there keeps the module loaded: no
    /// step of loading it may come after this one.
    pub(super) fn register(&self) -> Result {
        let item_type = configfs_attrs! {
            container: Subsystem<PoliciesDir>,
            data: PoliciesDir,
            child: PolicyDir,
            attributes: [],
        };
        let dir = PoliciesDir {
            log: LogLimits::new()?,
        };
        let subsystem = Subsystem::new(c"slowpath", item_type, Ok::<_, Error>(dir));
        self.0.populate(Arc::pin_init(subsystem, GFP_KERNEL)?);
        Ok(())
    }

    /// Finds a policy, and keeps it from being removed; `ENOENT` if there is none.
    pub(super) fn find(&self, name: &CStr) -> Result<UsedPolicy> {
        let subsystem = self.0.as_ref().ok_or(ENOENT)?.clone();
        let pin = KBox::new(subsystem.pin_group(name)?, GFP_KERNEL)?;
        Ok(UsedPolicy {
            policy: pin.policy.clone(),
            _pin: pin,
        })
    }
}

/// The directory in which policies are made.
struct PoliciesDir {
    log: Arc<LogLimits>,
}

/// A policy's directory.
struct PolicyDir {
    policy: Arc<Policy>,
    _place: Place,
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
            ],
        };
        let dir = PolicyDir {
            _place: Place::take(&NR_DIRS, MAX_POLICIES)?,
            policy: Policy::new(name, self.log.clone())?,
        };
        Ok(configfs::Group::new(
            name.try_into()?,
            item_type,
            Ok::<_, Error>(dir),
        ))
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
        dir.policy.replace(dir.policy.parse(text)?);
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
