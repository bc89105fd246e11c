// SPDX-License-Identifier: GPL-2.0

//! Puts tasks that run into a group, and lets them go.

use crate::{
    cgroup,
    error::{End, Error, Kind, Result, Trying},
    module::{self, Group},
    output::Output,
    setup::{tidy, Setup, SetupArgs},
    target::{Target, TargetArgs},
    text::Place,
};
use rustix::event::{poll, PollFd, PollFlags, Timespec};
use serde::Serialize;
use std::{
    fmt,
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

/// Put live tasks into a group, and under a policy
#[derive(clap::Args)]
pub struct AttachArgs {
    #[command(flatten)]
    targets: TargetArgs,
    #[command(flatten)]
    setup: SetupArgs,
    /// Wait so long, such as 90s or 10m, and let them go again; earlier if interrupted
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
}

/// One of the targets, and what came of it.
#[derive(Serialize)]
struct Done {
    target: String,
    group: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Error>,
}

#[derive(Serialize)]
struct Attached {
    group: String,
    policy: Option<String>,
    mode: Option<String>,
    targets: Vec<Done>,
    warnings: Vec<Place>,
}

impl fmt::Display for Attached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for warning in &self.warnings {
            writeln!(f, "{warning}")?;
        }
        let policy = match (&self.policy, &self.mode) {
            (Some(policy), Some(mode)) => format!("policy {policy} ({mode})"),
            _ => "no policy".into(),
        };
        for done in &self.targets {
            match &done.error {
                None => writeln!(f, "{}: group {}, {policy}", done.target, self.group)?,
                Some(error) => writeln!(f, "{}: not attached: {error}", done.target)?,
            }
        }
        Ok(())
    }
}

impl AttachArgs {
    pub fn run(self, out: Output) -> Result<End> {
        self.targets.require()?;
        module::require()?;
        let targets = self.targets.find_unneeded()?;
        for target in &targets {
            if let Target::Cgroup(cgroup) = target {
                cgroup::require(cgroup)?;
            }
        }
        // From here on it is not to be interrupted in the middle.
        let signals = self.duration.map(|_| Signals::new()).transpose()?;
        let setup = Setup::new(&self.setup, &targets[0].short_name())?;
        let mut done = Vec::new();
        for target in &targets {
            let error = target.join(&setup.group).err();
            done.push(Done {
                target: target.to_string(),
                group: error.is_none().then(|| setup.group.0.clone()),
                error,
            });
        }
        let failed = done.iter().filter(|done| done.error.is_some()).count();
        if failed == done.len() {
            setup.undo();
            let first = done.into_iter().find_map(|done| done.error);
            return Err(first.unwrap_or_else(|| Error::usage("there is no target")));
        }
        let mode = match &setup.policy {
            Some(policy) => Some(policy.get("mode")?),
            None => None,
        };
        out.print(&Attached {
            group: setup.group.0.clone(),
            policy: setup.policy.as_ref().map(|policy| policy.0.clone()),
            mode,
            targets: done,
            warnings: setup.warnings.clone(),
        });
        if let (Some(duration), Some(signals)) = (self.duration, signals) {
            signals.wait(duration, &setup.group)?;
            for target in &targets {
                // Those that are gone, or were taken out by somebody else, are let go.
                if matches!(target.group(), Ok(Some(group)) if group == setup.group) {
                    let _ = target.leave();
                }
            }
            // With what they have made.
            let _ = setup.group.leave_all();
            setup.undo();
        }
        Ok(if failed > 0 {
            End::Bad(Kind::Partial)
        } else {
            End::Good
        })
    }
}

/// The signals by which a command is interrupted, which can be waited for.
struct Signals(UnixStream);

impl Signals {
    fn new() -> Result<Self> {
        let (read, write) = UnixStream::pair().trying("signals")?;
        for signal in [
            signal_hook::consts::SIGINT,
            signal_hook::consts::SIGTERM,
            signal_hook::consts::SIGHUP,
        ] {
            let write = write.try_clone().trying("signals")?;
            signal_hook::low_level::pipe::register(signal, write).trying("signals")?;
        }
        Ok(Self(read))
    }

    /// Waits so long, for a signal, or until nobody is in the group that could come back.
    fn wait(&self, duration: Duration, group: &Group) -> Result<()> {
        let start = Instant::now();
        let names_it = |(_, name): &(_, String)| *name == group.0;
        let is_of_cgroup = cgroup::with_groups().is_ok_and(|all| all.iter().any(names_it));
        loop {
            let left = duration.saturating_sub(start.elapsed());
            let step = left.min(Duration::from_secs(1));
            let timeout = Timespec::try_from(step).unwrap_or_default();
            let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
            let ready = match poll(&mut fds, Some(&timeout)) {
                Err(rustix::io::Errno::INTR) => continue,
                ready => ready.trying("waiting")?,
            };
            let is_over = left.is_zero() || (!is_of_cgroup && group.members()?.is_empty());
            if ready > 0 || is_over {
                return Ok(());
            }
        }
    }
}

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
                (Some(error), _) => writeln!(f, "{}: not let go: {error}", done.target)?,
                (None, Some(group)) => writeln!(f, "{}: let go from {group}", done.target)?,
                (None, None) => writeln!(f, "{}: let go", done.target)?,
            }
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
    pub fn run(self, out: Output) -> Result<End> {
        if !self.all && self.groups.is_empty() {
            self.targets.require()?;
        }
        module::require()?;
        let mut done = Vec::new();
        let mut groups: Vec<Group> = Vec::new();
        if self.all {
            groups = Group::all()?;
            for tid in module::tasks()? {
                done.push(Done {
                    target: format!("thread {tid}"),
                    group: None,
                    error: None,
                });
            }
            module::detach_all()?;
        } else {
            for name in &self.groups {
                let group = Group(name.clone());
                if !group.exists() {
                    return Err(Error::not_found(format!("there is no group '{name}'"))
                        .help("see what there is: slowctl ls"));
                }
                groups.push(group);
            }
        }
        let targets = self.targets.find()?;
        for group in &groups {
            done.push(empty(group));
        }
        for target in &targets {
            let (group, error) = match target.leave() {
                Ok(group) => (Some(group), None),
                Err(e) => (None, Some(e)),
            };
            done.push(Done {
                target: target.to_string(),
                group: group.as_ref().map(|group| group.0.clone()),
                error,
            });
            groups.extend(group.filter(Group::exists));
        }
        groups.sort_by(|a, b| a.0.cmp(&b.0));
        groups.dedup();
        let failed = done.iter().filter(|done| done.error.is_some()).count();
        if failed > 0 && failed == done.len() {
            let first = done.into_iter().find_map(|done| done.error);
            return Err(first.unwrap_or_else(|| Error::usage("there is no target")));
        }
        let (mut removed, mut left) = (Vec::new(), Vec::new());
        for group in groups {
            let members = group.members()?;
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
            left,
        });
        Ok(if failed > 0 {
            End::Bad(Kind::Partial)
        } else {
            End::Good
        })
    }
}

/// Lets all go that are in a group, however they came there.
fn empty(group: &Group) -> Done {
    let result = (|| {
        for (cgroup, name) in cgroup::with_groups().unwrap_or_default() {
            if name == group.0 {
                cgroup::set(&cgroup, module::NONE)?;
            }
        }
        group.leave_all().trying(format!("the group {}", group.0))
    })();
    Done {
        target: format!("group {}", group.0),
        group: None,
        error: result.err(),
    }
}
