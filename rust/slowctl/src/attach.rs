// SPDX-License-Identifier: GPL-2.0

//! Puts tasks that run into a group.

use crate::{
    cgroup::{self, Cgroup},
    error::{End, Error, Kind, Result},
    guard::{self, ForceArgs},
    lookup,
    module::{self, Group},
    output::Output,
    outside::Outside,
    restarts::{self, Arranged},
    setup::{Setup, SetupArgs},
    signals::Signals,
    target::{Target, TargetArgs},
    text::Place,
    trial::Trial,
};
use serde::Serialize;
use std::{fmt, time::Duration};

/// Put live tasks into a group, and under a policy
#[derive(clap::Args)]
pub struct AttachArgs {
    #[command(flatten)]
    targets: TargetArgs,
    #[command(flatten)]
    setup: SetupArgs,
    #[command(flatten)]
    force: ForceArgs,
    /// Even if a cgroup has the target in another group, whose policy does not apply any more then
    #[arg(long)]
    replace: bool,
    /// Wait so long, such as 90s or 10m, and let them go again; earlier if interrupted
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
}

/// One of the targets, and what came of it.
#[derive(Default, Serialize)]
pub struct Done {
    pub target: String,
    pub group: Option<String>,
    /// The groups whose policies do not apply to it any more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub replaced: Vec<String>,
    /// The group that it is in from now on, when it has left one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub now: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outside: Option<Outside>,
    /// What systemd starts of this service comes to the group, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restarts_of: Option<String>,
    /// It does not, and the target has joined nonetheless.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_when_restarted: Option<Error>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Error>,
}

#[derive(Serialize)]
struct Attached {
    group: String,
    policy: Option<String>,
    mode: Option<String>,
    /// Whether anything is switched off.
    judged: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    why_not: Option<String>,
    /// Which new tasks of processes come to the group.
    follow: Option<String>,
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
            (Some(policy), None) => format!("policy {policy}"),
            (None, _) => "no policy".into(),
        };
        for done in &self.targets {
            if let Some(error) = &done.error {
                writeln!(f, "{}: not attached: {error}", done.target)?;
                if let Some(help) = &error.help {
                    writeln!(f, "    {help}")?;
                }
                continue;
            }
            writeln!(f, "{}: group {}, {policy}", done.target, self.group)?;
            if !done.replaced.is_empty() {
                writeln!(f, "    in place of the group {}", done.replaced.join(", "))?;
            }
            if let Some(outside) = &done.outside {
                write!(f, "{outside}")?;
            }
            if let Some(service) = &done.restarts_of {
                writeln!(f, "    and what is started when {service} is restarted")?;
            }
            if let Some(error) = &done.not_when_restarted {
                writeln!(f, "    but it is in no group when it is restarted: {error}")?;
            }
        }
        if let Some(why) = &self.why_not {
            writeln!(f, "but nothing is judged: {why}")?;
        }
        if let Some(follow) = self.follow.as_ref().filter(|follow| *follow != "all") {
            let file = Group(self.group.clone()).path("follow");
            let file = file.display();
            writeln!(
                f,
                "but what processes make is not in it: follow is {follow}; echo all > {file}"
            )?;
        }
        Ok(())
    }
}

/// How a command ends that has done something to targets, or could not.
pub fn end_of(done: &[Done]) -> End {
    let mut kinds = done
        .iter()
        .filter_map(|done| Some(done.error.as_ref()?.kind));
    let is_partly = |done: &Done| done.outside.is_some() || done.not_when_restarted.is_some();
    match kinds.next() {
        None if done.iter().any(is_partly) => End::Bad(Kind::Partial),
        None => End::Good,
        Some(first) if done.iter().all(|done| done.error.is_some()) => {
            let is_same = kinds.all(|kind| kind == first);
            End::Bad(if is_same { first } else { Kind::Failed })
        }
        Some(_) => End::Bad(Kind::Partial),
    }
}

impl AttachArgs {
    pub fn run(self, out: Output) -> Result<End> {
        self.targets.require()?;
        module::require()?;
        let mut targets = self.targets.find_unneeded(self.force)?;
        for target in &targets {
            if let Target::Cgroup(cgroup) = target {
                cgroup::require(cgroup)?;
            }
        }
        // From here on it is not to be interrupted in the middle.
        let signals = Signals::new()?;
        let setup = Setup::new(&self.setup, &targets[0].short_name(), self.force)?;
        if signals.is_there(Duration::ZERO)? {
            let mut error = Error::new(Kind::Failed, "interrupted: nobody has joined");
            error.help = setup.undo().map(|stays| stays.message);
            return Err(error);
        }
        let mut trial = Trial::new(&setup).inspect_err(|_| {
            setup.undo();
        })?;
        // First: one that is restarted in between is not missed.
        let covered = self.cover_restarts(&setup.group).inspect_err(|_| {
            setup.undo();
        })?;
        let mut done = Vec::new();
        for target in &targets {
            done.push(self.join(target, &setup, &mut trial));
        }
        self.join_more(&mut targets, &setup, &mut trial, &mut done);
        let arranged = say_restarts(covered, &mut done);
        if done.iter().all(|done| done.error.is_some()) {
            if let Some(error) = setup.undo() {
                out.note(&error.message);
            }
            if done.len() == 1 {
                return Err(done.remove(0).error.unwrap_or_else(nobody));
            }
        }
        let end = end_of(&done);
        let is_done = done.iter().any(|done| done.error.is_none());
        // It is done: what cannot be read any more is not a failure.
        let why_not = module::why_not_judged(&setup.group).ok().flatten();
        let policy = setup.policy.as_ref();
        let follows = |target: &Target| !matches!(target, Target::Cgroup(_));
        let follow = targets
            .iter()
            .any(follows)
            .then(|| setup.group.get("follow").ok());
        out.print(&Attached {
            group: setup.group.0.clone(),
            mode: policy.and_then(|policy| policy.get("mode").ok()),
            policy: policy.map(|policy| policy.0.clone()),
            judged: is_done && why_not.is_none(),
            why_not: why_not.filter(|_| is_done),
            follow: follow.flatten(),
            targets: done,
            warnings: setup.warnings.clone(),
        });
        if let (Some(duration), true) = (self.duration, is_done) {
            let waited = signals.wait(Some(duration), std::slice::from_ref(&setup.group));
            let taken_back: Vec<_> = arranged.iter().map(restarts::take_back).collect();
            trial.end(&targets, &setup, out)?;
            taken_back.into_iter().collect::<Result<()>>()?;
            waited?;
        }
        Ok(end)
    }

    fn join(&self, target: &Target, setup: &Setup, trial: &mut Trial) -> Done {
        let group = &setup.group;
        let kept_out = match target {
            Target::Cgroup(cgroup) => cgroup.kept_out(),
            _ => None,
        };
        let was_in = target.is_wholly_in(group);
        let mut done = Done {
            target: target.to_string(),
            ..Done::default()
        };
        match target.join(group, self.replace) {
            Err(error) => done.error = Some(error),
            Ok(replaced) => {
                trial.has_joined(target, was_in);
                done.group = Some(group.0.clone());
                done.replaced = replaced.into_iter().map(|group| group.0).collect();
                done.outside = outside(target, group, kept_out);
            }
        }
        done
    }

    /// Has what systemd starts of the services among the targets join; says of which cgroups, and what came of it.
    /// Fails if one of them has none at this moment: its restarts would not be, and nobody be told.
    fn cover_restarts(&self, group: &Group) -> Result<Vec<(Cgroup, Result<Arranged>)>> {
        let units = self.targets.units.iter();
        let found: Vec<_> = units
            .map(|unit| Ok((lookup::of_unit(unit)?, restarts::service_of(unit))))
            .collect::<Result<_>>()?;
        let cover = |(cgroup, service): (Cgroup, Result<Option<String>>)| {
            let arranged = match service {
                Ok(service) => restarts::cover(&service?, group),
                Err(error) => Err(error),
            };
            Some((cgroup, arranged))
        };
        Ok(found.into_iter().filter_map(cover).collect())
    }

    /// Those that are called by a name, and were made before whoever made them had joined.
    fn join_more(
        &self,
        targets: &mut Vec<Target>,
        setup: &Setup,
        trial: &mut Trial,
        done: &mut Vec<Done>,
    ) {
        loop {
            let more = self.targets.find_more(targets);
            if more.is_empty() {
                return;
            }
            for target in more {
                // Made by one that has joined, it is in the group.
                if !target.is_wholly_in(&setup.group) {
                    let is_unneeded = match self.force.force {
                        true => Ok(()),
                        false => guard::targets(std::slice::from_ref(&target)),
                    };
                    let new = match is_unneeded {
                        Ok(()) => self.join(&target, setup, trial),
                        Err(error) => Done {
                            target: target.to_string(),
                            error: Some(error),
                            ..Done::default()
                        },
                    };
                    // One that has gone meanwhile has not failed.
                    let is_gone = |e: &Error| e.kind == Kind::NotFound;
                    done.extend(Some(new).filter(|new| !new.error.as_ref().is_some_and(is_gone)));
                }
                targets.push(target);
            }
        }
    }
}

/// Says of each service that has joined whether its restarts do; takes back what was arranged for those that have not.
fn say_restarts(covered: Vec<(Cgroup, Result<Arranged>)>, done: &mut [Done]) -> Vec<Arranged> {
    let mut all = Vec::new();
    for (cgroup, arranged) in covered {
        let name = Target::Cgroup(cgroup).to_string();
        let has_joined = |done: &&mut Done| done.target == name && done.error.is_none();
        match (done.iter_mut().find(has_joined), arranged) {
            (Some(done), Ok(arranged)) => {
                done.restarts_of = Some(arranged.service.clone());
                all.push(arranged);
            }
            (Some(done), Err(error)) => done.not_when_restarted = Some(error),
            (None, Ok(arranged)) => {
                let _ = restarts::take_back(&arranged);
            }
            (None, Err(_)) => {}
        }
    }
    all
}

fn nobody() -> Error {
    Error::usage("there is no target")
}

/// Who is in a cgroup, and nonetheless not in the group.
fn outside(target: &Target, group: &Group, kept_out: Option<u64>) -> Option<Outside> {
    let Target::Cgroup(cgroup) = target else {
        return None;
    };
    let cgroup: &Cgroup = cgroup;
    let outside = Outside::of(cgroup, group, kept_out);
    (!outside.is_empty()).then_some(outside)
}
