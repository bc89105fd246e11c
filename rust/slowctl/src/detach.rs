// SPDX-License-Identifier: GPL-2.0

//! Lets tasks go.

use crate::{
    attach::{end_of, Done},
    cgroup,
    error::{End, Error, Kind, Result, Trying},
    lookup,
    module::{self, Group},
    output::Output,
    restarts,
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
        module::require()?;
        let mut done = Vec::new();
        let mut groups: Vec<Group> = Vec::new();
        let covered = restarts::covered();
        let is_named = |group: &Group| self.groups.contains(&group.0);
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
                    // Services would be put into it nonetheless.
                    if covered.iter().any(|(_, of_it)| *of_it == group) {
                        continue;
                    }
                    return Err(Error::not_found(format!("there is no group '{name}'"))
                        .help("see what there is: slowctl ls"));
                }
                groups.push(group);
            }
        }
        let mut services = stopped(&mut self.targets.units, &covered);
        let targets = self.targets.find()?;
        for target in &targets {
            if let Target::Cgroup(cgroup) = target {
                services.extend(restarts::service_of(cgroup).map(String::from));
            }
        }
        // First, or one that is restarted meanwhile stays in it.
        let uncovered = restarts::uncover(|service, group| {
            self.all || is_named(group) || services.iter().any(|name| name == service)
        })?;
        for group in &groups {
            done.push(empty(group));
        }
        for target in &targets {
            let left = match target.leave() {
                Ok(left) => left,
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
            not_when_restarted: uncovered.into_iter().map(|(service, _)| service).collect(),
            left,
        });
        Ok(end)
    }
}

/// Takes those services out of some units that do not run, and are put into a group when they are started.
fn stopped(units: &mut Vec<String>, covered: &[(String, Group)]) -> Vec<String> {
    let mut stopped = Vec::new();
    units.retain(|unit| {
        let is_it = |(service, _): &&(String, Group)| {
            service == unit || service.strip_suffix(".service") == Some(unit.as_str())
        };
        let found = covered.iter().find(is_it);
        let found = found.filter(|_| lookup::of_unit(unit).is_err());
        stopped.extend(found.map(|(service, _)| service.clone()));
        found.is_none()
    });
    stopped
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
