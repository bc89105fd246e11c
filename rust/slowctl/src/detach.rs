// SPDX-License-Identifier: GPL-2.0

//! Lets tasks go.

use crate::{
    attach::{end_of, Done},
    cgroup::{self, Cgroup},
    error::{End, Error, Kind, Result, Trying},
    lookup,
    module::{self, Group},
    output::Output,
    restarts::{self, Covered},
    setup::tidy,
    target::{Target, TargetArgs},
};
use serde::Serialize;
use std::fmt;

/// Let tasks go
#[derive(clap::Args)]
pub struct DetachArgs {
    #[command(flatten)]
    targets: TargetArgs,
    /// All that are in this group, and the cgroups that name it
    #[arg(long = "group", value_name = "NAME", group = "targets")]
    groups: Vec<String>,
    /// All tasks of all groups
    #[arg(long, conflicts_with = "targets")]
    all: bool,
    /// Remove the groups that nobody is left in, whoever has made them
    #[arg(long)]
    rm: bool,
}

#[derive(Serialize)]
struct Detached {
    targets: Vec<Done>,
    removed: Vec<String>,
    /// The services that do not come to a group any more when they are started.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_when_restarted: Vec<String>,
    /// Who is still in the groups that targets have left.
    left: Vec<Left>,
}

#[derive(Serialize)]
struct Left {
    group: String,
    members: Vec<i32>,
}

impl fmt::Display for Detached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for done in &self.targets {
            match (&done.error, &done.group) {
                (Some(error), _) => {
                    writeln!(f, "{}: not let go: {error}", done.target)?;
                    if let Some(help) = &error.help {
                        writeln!(f, "    {help}")?;
                    }
                }
                (None, Some(group)) => writeln!(f, "{}: let go from {group}", done.target)?,
                (None, None) => writeln!(f, "{}: let go", done.target)?,
            }
            if let Some(now) = &done.now {
                writeln!(f, "    now it is in {now}, as its cgroup is")?;
            }
        }
        for service in &self.not_when_restarted {
            writeln!(
                f,
                "{service}: what is started when it is restarted is in no group"
            )?;
        }
        for Left { group, members } in &self.left {
            writeln!(
                f,
                "{} tasks are in {group} still: slowctl detach --group {group}",
                members.len()
            )?;
        }
        for group in &self.removed {
            writeln!(f, "group {group}: removed")?;
        }
        Ok(())
    }
}

impl DetachArgs {
    pub fn run(mut self, out: Output) -> Result<End> {
        if !self.all && self.groups.is_empty() {
            self.targets.require()?;
        }
        // First, or one that is restarted meanwhile stays in it; and also where no module is.
        let (uncovered, not_uncovered) = match self.uncover() {
            Ok(uncovered) => (uncovered, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        module::require()?;
        let mut done = Vec::new();
        let mut groups: Vec<Group> = Vec::new();
        if self.all {
            groups = Group::all()?;
            for tid in module::tasks()? {
                done.push(Done {
                    target: format!("thread {tid}"),
                    ..Done::default()
                });
            }
            module::detach_all()?;
        } else {
            for name in &self.groups {
                let group = Group(name.clone());
                if !group.exists() {
                    if uncovered.iter().any(|one| one.group == group) {
                        continue;
                    }
                    return Err(Error::not_found(format!("there is no group '{name}'"))
                        .help("see what there is: slowctl ls"));
                }
                groups.push(group);
            }
        }
        self.leave_out_stopped(&uncovered);
        let targets = self.targets.find()?;
        for group in &groups {
            done.push(empty(group));
        }
        for target in &targets {
            let left = match target.leave() {
                Ok(left) => left,
                // It was to come into one only when it is started the next time.
                Err(e) if e.kind == Kind::NotFound && is_of(target, &uncovered) => Vec::new(),
                Err(e) => {
                    done.push(Done {
                        target: target.to_string(),
                        error: Some(e),
                        ..Done::default()
                    });
                    continue;
                }
            };
            // That of its cgroup, or of one above.
            let now = target.group().ok().flatten();
            for (group, error) in left {
                let is_left = error.is_none();
                done.push(Done {
                    target: target.to_string(),
                    group: is_left.then(|| group.0.clone()),
                    now: now.as_ref().filter(|_| is_left).map(|now| now.0.clone()),
                    error,
                    ..Done::default()
                });
                groups.extend(Some(group).filter(|group| is_left && group.exists()));
            }
        }
        let still_there = uncovered.iter().map(|one| &one.group);
        groups.extend(still_there.filter(|group| group.exists()).cloned());
        done.extend(not_uncovered.map(|error| Done {
            target: "restarts".into(),
            error: Some(error),
            ..Done::default()
        }));
        groups.sort_by(|a, b| a.0.cmp(&b.0));
        groups.dedup();
        let end = end_of(&done);
        if let ([Done { error, .. }], End::Bad(_)) = (done.as_mut_slice(), end) {
            if let Some(error) = error.take() {
                return Err(error);
            }
        }
        let (mut removed, mut left) = (Vec::new(), Vec::new());
        for group in groups {
            let members = match group.members() {
                // Somebody has removed it meanwhile.
                Err(e) if e.kind == Kind::NotFound => continue,
                members => members?,
            };
            if tidy(&group, self.rm) {
                removed.push(group.0);
            } else if !members.is_empty() {
                left.push(Left {
                    group: group.0,
                    members,
                });
            }
        }
        out.print(&Detached {
            targets: done,
            removed,
            not_when_restarted: uncovered.into_iter().map(|one| one.service).collect(),
            left,
        });
        Ok(end)
    }
}

impl DetachArgs {
    /// Has the services that are meant come into no group when they are started.
    fn uncover(&self) -> Result<Vec<Covered>> {
        if restarts::covered().is_empty() {
            return Ok(Vec::new());
        }
        let units = self.targets.units.iter();
        let services: Vec<Option<String>> = units
            .map(|unit| restarts::service_of(unit))
            .collect::<Result<_>>()?;
        let cgroups = self.targets.cgroups.iter();
        let cgroups: Vec<String> = cgroups
            .filter_map(|path| Some(Cgroup::at(path).ok()?.name))
            .collect();
        restarts::uncover(|one| {
            self.all
                || self.groups.contains(&one.group.0)
                || services.contains(&Some(one.service.clone()))
                || cgroups.contains(&one.cgroup)
        })
    }

    /// There is nothing more to be done of services that do not run.
    fn leave_out_stopped(&mut self, uncovered: &[Covered]) {
        self.targets.units.retain(|unit| {
            let service = restarts::service_of(unit).ok().flatten();
            let is_it = |one: &Covered| Some(&one.service) == service.as_ref();
            let is_gone = |e: &Error| e.kind == Kind::NotFound;
            !(uncovered.iter().any(is_it) && lookup::of_unit(unit).is_err_and(|e| is_gone(&e)))
        });
    }
}

fn is_of(target: &Target, uncovered: &[Covered]) -> bool {
    let Target::Cgroup(cgroup) = target else {
        return false;
    };
    uncovered.iter().any(|one| one.cgroup == cgroup.name)
}

/// Lets all go that are in a group, however they came there.
fn empty(group: &Group) -> Done {
    let result = (|| {
        for (cgroup, name) in cgroup::with_groups()? {
            if name == group.0 {
                gone_is_good(cgroup::set(&cgroup, module::NONE))?;
            }
        }
        let left = group.leave_all();
        gone_is_good(left.trying(format!("the group {}", group.0)))
    })();
    Done {
        target: format!("group {}", group.0),
        error: result.err(),
        ..Done::default()
    }
}

/// Lets all go that are in a group, and removes it if it is one that nobody has named; returns
/// whether it was.
pub fn empty_and_tidy(group: &Group) -> Result<bool> {
    restarts::uncover(|one| one.group == *group)?;
    match empty(group).error {
        Some(error) => Err(error),
        None => Ok(tidy(group, false)),
    }
}

/// Whoever is gone is let go.
fn gone_is_good(result: Result<()>) -> Result<()> {
    match result {
        Err(e) if e.kind == Kind::NotFound => Ok(()),
        result => result,
    }
}
