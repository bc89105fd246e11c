// SPDX-License-Identifier: GPL-2.0

//! `/sys/kernel/config/slowpath`, where the administrator makes policies.

use crate::{
    policy::{Policy, Rules, UsersLock},
    rules::{MAX_RULES, MAX_TEXT},
    sysfs::{require_admin, value}, //
};
use kernel::{
    configfs::{self, configfs_attrs, PinnedGroup, Subsystem},
    fmt::Write,
    page::PAGE_SIZE,
    prelude::*,
    str::Formatter,
    sync::{
        atomic::{ordering::Relaxed, Atomic},
        Arc, //
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

/// The directory in which policies are made.
pub(crate) struct Policies {
    users_lock: Arc<UsersLock>,
    nr: Arc<Atomic<u32>>,
}

/// A policy's directory.
pub(crate) struct PolicyDir {
    policy: Arc<Policy>,
    _place: Place,
}

/// One of the policies that there may be.
struct Place(Arc<Atomic<u32>>);

impl Place {
    fn take(nr: &Arc<Atomic<u32>>) -> Result<Self> {
        // Given back if it is too many.
        let place = Self(nr.clone());
        if nr.fetch_add(1, Relaxed) < MAX_POLICIES {
            Ok(place)
        } else {
            Err(E2BIG)
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// A policy that cannot be removed, because it is used.
pub(crate) struct Pinned(PinnedGroup<Policies, PolicyDir>);

impl Pinned {
    /// Finds the policy `name`; `ENOENT` if there is none.
    pub(crate) fn find(policies: Arc<Subsystem<Policies>>, name: &CStr) -> Result<Self> {
        Ok(Self(policies.pin_group(name)?))
    }

    pub(crate) fn policy(&self) -> &Arc<Policy> {
        &self.0.policy
    }
}

/// Registers `/sys/kernel/config/slowpath`.
pub(crate) fn subsystem() -> Result<Arc<Subsystem<Policies>>> {
    let item_type = configfs_attrs! {
        container: Subsystem<Policies>,
        data: Policies,
        child: PolicyDir,
        attributes: [],
    };
    let policies = Policies {
        users_lock: UsersLock::new()?,
        nr: Arc::new(Atomic::new(0), GFP_KERNEL)?,
    };
    Arc::pin_init(
        Subsystem::new(c"slowpath", item_type, Ok::<_, Error>(policies)),
        GFP_KERNEL,
    )
}

#[vtable]
impl configfs::GroupOperations for Policies {
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
            _place: Place::take(&self.nr)?,
            policy: Policy::new(name, self.users_lock.clone())?,
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
        let rules = dir.policy.rules();
        let mut out = Formatter::new(buffer);
        write!(out, "{}", rules.set)?;
        Ok(out.bytes_written())
    }

    fn store(dir: &Self, text: &[u8]) -> Result {
        require_admin()?;
        let rules = Rules::parse(dir.policy.name(), text)?;
        let result = dir.policy.replace(rules);
        audit(c"rules", dir.policy.name(), &result);
        result
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
        let rules = dir.policy.rules();
        let mut out = Formatter::new(buffer);
        for line in 0..rules.set.nr_lines() {
            write!(out, "{} ", rules.hits.sum(line))?;
            rules.set.fmt_line(line, &mut out)?;
            out.write_str("\n")?;
        }
        Ok(out.bytes_written())
    }
}
