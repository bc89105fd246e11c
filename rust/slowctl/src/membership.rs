// SPDX-License-Identifier: GPL-2.0

//! Targets join groups, and leave them.

use crate::{
    cgroup::{self, Cgroup},
    error::{Error, Kind, Result},
    module::{self, Group, NONE},
    output::plain,
    target::Target,
    task::{self, Task},
};
use rustix::io::Errno;
use std::{io, os::fd::AsFd};

impl Target {
    /// Has it join a group. Not, if that takes it out of another one, unless `replace` says so: then
    /// out of that of its cgroup, or of one above. Returns which groups it is in no more.
    pub fn join(&self, group: &Group, replace: bool) -> Result<Vec<Group>> {
        let mut others = self.groups()?;
        others.retain(|other| other != group);
        if let (Some(other), false) = (others.first(), replace) {
            return Err(self.in_another(other));
        }
        match self {
            Self::Process(held) | Self::Thread(held) => {
                let joined = group.join(held.fd.as_fd());
                joined.map_err(|e| self.join_error(group, &e))?;
            }
            Self::Cgroup(cgroup) => match cgroup.group()?.map(Group) {
                // What it says itself is not lost in passing.
                Some(own) if own != *group => return Err(self.in_another(&own)),
                _ => cgroup::set(cgroup, &group.0)?,
            },
        }
        Ok(others)
    }

    /// The cgroup that it is in a group by, if it is by one.
    fn cgroup_of(&self, group: &Group) -> Option<Cgroup> {
        let cgroup = match self {
            Self::Cgroup(cgroup) => Some(cgroup.clone()),
            Self::Process(held) | Self::Thread(held) => {
                let tids = match self {
                    Self::Process(_) => task::threads_of(held.id),
                    _ => vec![held.id],
                };
                let is_in = |tid: &i32| {
                    Task::new(*tid).and_then(|task| task.group) == Some(group.0.clone())
                };
                let tid = tids.into_iter().find(is_in)?;
                Cgroup::of_task(tid).ok().flatten()
            }
        };
        let by = cgroup?.effective_group().ok().flatten();
        by.filter(|(_, name)| *name == group.0)
            .map(|(cgroup, _)| cgroup)
    }

    fn in_another(&self, other: &Group) -> Error {
        let detach = format!("let it go first: slowctl detach {}", self.as_option());
        match self.cgroup_of(other) {
            Some(cgroup) if !matches!(self, Self::Cgroup(own) if *own == cgroup) => {
                let policy = match other.policy() {
                    Ok(Some(policy)) => format!("the policy {}", policy.0),
                    _ => "that group".into(),
                };
                let by = plain(&cgroup.name);
                let what = format!(
                    "{self} is in the group {} already, because {by} is",
                    other.0
                );
                Error::new(Kind::Busy, what).help(format!(
                    "--replace does it, and {policy} does not apply to it any more"
                ))
            }
            _ => Error::new(
                Kind::Busy,
                format!("{self} is in the group {} already", other.0),
            )
            .help(detach),
        }
    }

    fn join_error(&self, group: &Group, error: &io::Error) -> Error {
        let other = || {
            let groups = self.groups().unwrap_or_default();
            groups.into_iter().find(|other| other != group)
        };
        match Errno::from_io_error(error) {
            Some(Errno::BUSY) => match other() {
                // Joined by itself: nothing replaces that.
                Some(other) => {
                    let what = format!("{self} is in the group {} already", other.0);
                    let detach = format!("slowctl detach {}", self.as_option());
                    Error::new(Kind::Busy, what).help(format!("let it go first: {detach}"))
                }
                None => Error::new(
                    Kind::Busy,
                    format!("a thread of {self} is in another group"),
                )
                .help("the kernel log has which one: dmesg | grep slowpath"),
            },
            Some(Errno::SRCH) => Error::not_found(format!("{self} is gone")),
            Some(Errno::PERM) => Error::new(
                Kind::NotPermitted,
                format!("{self} may not be traced from here, or is of the kernel"),
            )
            .help("Yama, a security module, or a missing CAP_SYS_PTRACE: slowctl doctor"),
            _ => Error::io(format!("{self}"), error),
        }
    }

    /// Has it leave all that it is in; returns which groups that were, and why it did not leave one.
    pub fn leave(&self) -> Result<Vec<(Group, Option<Error>)>> {
        let groups = self.groups()?;
        if groups.is_empty() {
            return Err(Error::not_found(format!("{self} is in no group"))
                .help("see what is in which: slowctl ls"));
        }
        let left = groups.into_iter().map(|group| {
            let error = self.leave_group(&group).err();
            (group, error)
        });
        Ok(left.collect())
    }

    /// Has it leave a group that it is in.
    pub fn leave_group(&self, group: &Group) -> Result<()> {
        let (held, tids) = match self {
            Self::Cgroup(cgroup) => {
                cgroup::require(cgroup)?;
                return match cgroup.group()? {
                    Some(own) if own == group.0 => cgroup::set(cgroup, NONE),
                    // The name is from one above.
                    _ => Err(self.by_cgroup(group)),
                };
            }
            Self::Process(held) => (held, task::threads_of(held.id)),
            Self::Thread(held) => (held, vec![held.id]),
        };
        if group.exists() {
            let left = group.leave(held.fd.as_fd());
            return left.map_err(|e| self.leave_error(group, &e));
        }
        if !group.is_ours() {
            return Err(of_another_handler(&self.to_string(), group));
        }
        // Attached by itself: a thread, which may have another number than its group says.
        let is_in =
            |tid: &i32| Task::new(*tid).and_then(|task| task.group) == Some(group.0.clone());
        let tid = tids.into_iter().find(is_in).filter(|_| !held.is_gone());
        let tid = tid.ok_or_else(|| Error::not_found(format!("{self} is gone")))?;
        module::detach_task(tid).map_err(|e| self.leave_error(group, &e))
    }

    fn leave_error(&self, group: &Group, error: &io::Error) -> Error {
        match Errno::from_io_error(error) {
            Some(Errno::BUSY) => self.by_cgroup(group),
            _ => Error::io(format!("{self}"), error),
        }
    }

    fn by_cgroup(&self, group: &Group) -> Error {
        let error = Error::new(
            Kind::Busy,
            format!("{self} is in {} because its cgroup is", group.0),
        );
        match self.cgroup_of(group) {
            Some(cgroup) => error.help(format!(
                "let that go: slowctl detach --cgroup {}",
                plain(&cgroup.name)
            )),
            None => error,
        }
    }
}

/// Of a group that this module knows nothing about.
pub fn of_another_handler(target: &str, group: &Group) -> Error {
    let what = format!("{target} is in the group {} of another handler", group.0);
    Error::new(Kind::Busy, what)
}
