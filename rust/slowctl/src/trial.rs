// SPDX-License-Identifier: GPL-2.0

//! What is to end: those go that have joined for it, with what they have made, and nobody else.

use crate::{
    cgroup,
    error::{Error, Kind, Result},
    module::Group,
    output::Output,
    setup::Setup,
    target::{Held, Target},
    task::{self, Task},
};
use std::os::fd::AsFd;

/// Who was in the group, and who has joined it since.
pub struct Trial {
    /// Who was in it before, of a group that was there.
    before: Vec<i32>,
    /// Those that have joined, by what they are called.
    joined: Vec<String>,
    pids: Vec<i32>,
}

impl Trial {
    pub fn new(setup: &Setup) -> Result<Self> {
        let before = match setup.is_of_others() {
            true => setup.group.members()?,
            false => Vec::new(),
        };
        Ok(Self {
            before,
            joined: Vec::new(),
            pids: Vec::new(),
        })
    }

    /// One that has joined, and may have been in it before.
    pub fn has_joined(&mut self, target: &Target, was_in: bool) {
        if was_in {
            return;
        }
        self.joined.push(target.as_option());
        if let Target::Process(held) | Target::Thread(held) = target {
            self.pids.push(held.id);
        }
    }

    /// Lets those go that have joined, and takes back what was made for it.
    pub fn end(&self, targets: &[Target], setup: &Setup, out: Output) -> Result<()> {
        let group = &setup.group;
        let mut errors = Vec::new();
        let joined = targets.iter();
        for target in joined.filter(|target| self.joined.contains(&target.as_option())) {
            // Those that are gone, or were taken out by somebody else, are let go.
            if matches!(target.groups(), Ok(groups) if groups.contains(group)) {
                errors.extend(target.leave_group(group).err());
            }
        }
        if setup.is_of_others() {
            self.let_descendants_go(group);
        } else if let Err(e) = group.leave_all() {
            errors.push(Error::io(format!("the group {}", group.0), &e));
        }
        errors.retain(|error| error.kind != Kind::NotFound);
        errors.extend(setup.undo());
        self.note_others(setup, out);
        match errors.len() {
            0 => Ok(()),
            _ => {
                let what = errors.iter().map(|error| error.message.as_str());
                let what = Vec::from_iter(what).join("; ");
                let mut error = Error::new(Kind::Partial, format!("not all were let go: {what}"));
                error.help = errors.into_iter().find_map(|error| error.help);
                let help = || format!("see who is in it: slowctl show {}", group.0);
                error.help = error.help.or_else(|| Some(help()));
                Err(error)
            }
        }
    }

    /// What the targets have made has come to the group with them.
    fn let_descendants_go(&self, group: &Group) {
        loop {
            let mut is_over = true;
            for tid in self.newcomers(group) {
                let is_ours = task::ancestry(tid)
                    .iter()
                    .any(|pid| self.pids.contains(pid));
                let held = is_ours.then(|| Held::of_thread(tid)).flatten();
                // Not one that has got the number since.
                let is_in =
                    Task::new(tid).is_some_and(|task| task.group.as_ref() == Some(&group.0));
                if let Some(held) = held.filter(|_| is_in) {
                    is_over &= group.leave(held.fd.as_fd()).is_err();
                }
            }
            if is_over {
                return;
            }
        }
    }

    fn newcomers(&self, group: &Group) -> Vec<i32> {
        let mut members = group.members().unwrap_or_default();
        members.retain(|tid| !self.before.contains(tid));
        members
    }

    /// Others may have joined meanwhile: whether these are to go is not known here.
    fn note_others(&self, setup: &Setup, out: Output) {
        let group = &setup.group;
        if !group.exists() {
            return;
        }
        let names_it = |(_, name): &(cgroup::Cgroup, String)| *name == group.0;
        let is_of_cgroup = cgroup::with_groups().is_ok_and(|all| all.iter().any(names_it));
        let others = self.newcomers(group);
        if !others.is_empty() || (is_of_cgroup && !setup.is_of_others()) {
            let number = others.len();
            out.note(&format!(
                "{number} tasks have come to the group {0} meanwhile, and stay: slowctl show {0}",
                group.0
            ));
        }
    }
}

impl Target {
    /// Whether all of it is in a group already.
    pub fn is_wholly_in(&self, group: &Group) -> bool {
        match self {
            Self::Cgroup(cgroup) => cgroup
                .group()
                .is_ok_and(|own| own.as_ref() == Some(&group.0)),
            _ => self.parts().is_ok_and(|parts| {
                let is_in = |part: &(String, Option<Group>)| part.1.as_ref() == Some(group);
                !parts.is_empty() && parts.iter().all(is_in)
            }),
        }
    }
}
