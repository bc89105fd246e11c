// SPDX-License-Identifier: GPL-2.0

//! Groups in which a command watches its targets: those that they are in, or one of its own.

use crate::{
    cgroup::{self, Cgroup},
    error::{End, Error, Kind, Result},
    guard::{self, ForceArgs},
    membership::of_another_handler,
    module::{self, Group, NONE},
    output::Output,
    outside::Outside,
    setup::{Setup, SetupArgs},
    target::{Target, TargetArgs},
    task::Task,
    trial::Trial,
};
use std::collections::BTreeSet;

/// Whom a command watches.
#[derive(clap::Args, Clone, Debug)]
pub struct WatchArgs {
    #[command(flatten)]
    pub targets: TargetArgs,
    /// All that are in this group
    #[arg(
        long = "group",
        value_name = "NAME",
        group = "targets",
        help_heading = "Targets"
    )]
    pub groups: Vec<String>,
    #[command(flatten)]
    force: ForceArgs,
}

/// The group that was made for those that are in none.
struct Own {
    setup: Setup,
    trial: Trial,
    targets: Vec<Target>,
}

/// The groups that have all of the targets.
pub struct Watch {
    pub groups: Vec<Group>,
    /// Whom it is about, in words.
    pub names: Vec<String>,
    /// What is to be said of it.
    pub notes: Vec<String>,
    /// What is switched off, and why.
    pub switches: Vec<String>,
    /// Not all that is in a cgroup is watched.
    is_partial: bool,
    own: Option<Own>,
}

impl Watch {
    /// Has those that are in no group join one. All can be watched, or it fails and nothing is done.
    pub fn new(args: &WatchArgs, out: Output) -> Result<Self> {
        if args.groups.is_empty() {
            args.targets.require()?;
        }
        let mut names = BTreeSet::new();
        for name in &args.groups {
            named(name)?;
            names.insert(name.clone());
        }
        let mut watch = Self {
            groups: Vec::new(),
            names: names.iter().map(|name| format!("group {name}")).collect(),
            notes: Vec::new(),
            switches: Vec::new(),
            is_partial: false,
            own: None,
        };
        let mut others = BTreeSet::new();
        let (mut free, mut placed) = (Vec::new(), Vec::new());
        for target in args.targets.find_unneeded(args.force)? {
            watch.names.push(target.to_string());
            let place = Place::of(&target)?;
            others.extend(place.groups);
            match place.is_free {
                true => free.push(target),
                false => placed.push(target),
            }
        }
        others.retain(|name| !names.contains(name));
        for name in names.iter().chain(&others) {
            watch.groups.push(named(name)?);
        }
        if !others.is_empty() {
            let others = Vec::from_iter(others).join(", ");
            let note = format!("all tasks of the group {others} are looked at");
            watch.notes.push(note);
        }
        watch.note_follow(&placed);
        if !free.is_empty() {
            if let Err(e) = watch.join(args, free, placed) {
                // Why it has failed says more.
                let _ = watch.end(out);
                return Err(e);
            }
        }
        watch.note_switches();
        Ok(watch)
    }

    fn join(&mut self, args: &WatchArgs, free: Vec<Target>, placed: Vec<Target>) -> Result<()> {
        let name = free[0].short_name();
        let setup = Setup::new(&SetupArgs::default(), &name, args.force)?;
        let trial = Trial::new(&setup).inspect_err(|_| {
            setup.undo();
        })?;
        let group = setup.group.clone();
        self.groups.push(group.clone());
        let own = self.own.insert(Own {
            setup,
            trial,
            // All that are known, so that more of a name can be told from them.
            targets: placed,
        });
        let mut new = free;
        let mut is_first = true;
        while !new.is_empty() {
            for target in new {
                let kept_out = match &target {
                    Target::Cgroup(cgroup) => cgroup.kept_out(),
                    _ => None,
                };
                // Made by one that has joined, it is in the group.
                if !target.is_wholly_in(&group) {
                    match target.join(&group, false) {
                        Ok(_) => own.trial.has_joined(&target, false),
                        // One that was made meanwhile, and has gone again.
                        Err(e) if !is_first && e.kind == Kind::NotFound => {}
                        Err(e) => return Err(e),
                    }
                }
                if let Target::Cgroup(cgroup) = &target {
                    let outside = Outside::of(cgroup, &group, kept_out);
                    let outside = outside.besides(&self.groups);
                    if !outside.is_empty() {
                        let note = format!("{target}: not all of it is looked at\n{outside}");
                        self.notes.push(note.trim_end().into());
                        self.is_partial = true;
                    }
                }
                own.targets.push(target);
            }
            is_first = false;
            new = args.targets.find_more(&own.targets);
            if !args.force.force {
                guard::targets(&new)?;
            }
        }
        Ok(())
    }

    /// Says if tasks that processes make do not come to the groups that they are in.
    fn note_follow(&mut self, placed: &[Target]) {
        if placed.iter().all(|t| matches!(t, Target::Cgroup(_))) {
            return;
        }
        for group in &self.groups {
            let follow = group.get("follow").unwrap_or_default();
            if ["threads", "none"].contains(&follow.as_str()) {
                let file = group.path("follow");
                self.notes.push(format!(
                    "what processes make does not come to the group {}: follow is {follow}; \
                     echo all > {}",
                    group.0,
                    file.display()
                ));
            }
        }
    }

    /// Says at once what may have somebody give it up.
    pub fn say(&self, out: Output) {
        self.switches.iter().for_each(|note| out.note(note));
    }

    /// Finds what nobody counts, because it is switched off.
    pub fn note_switches(&mut self) {
        for group in &self.groups {
            // One that is gone counts nothing, which is said elsewhere.
            if let Ok(Some(why)) = module::why_not_judged(group) {
                let note = format!("nothing is counted in the group {}: {why}", group.0);
                if !self.switches.contains(&note) {
                    self.switches.push(note);
                }
            }
        }
    }

    /// Lets those go that have joined for this, with what they have made.
    pub fn end(self, out: Output) -> Result<End> {
        if let Some(own) = self.own {
            own.trial.end(&own.targets, &own.setup, out)?;
        }
        Ok(match self.is_partial {
            true => End::Bad(Kind::Partial),
            false => End::Good,
        })
    }
}

/// A group that there is, with files of its own.
pub fn named(name: &str) -> Result<Group> {
    let group = Group(name.into());
    if group.exists() {
        return Ok(group);
    }
    Err(match group.attached() {
        Some(tid) if group.is_ours() => {
            let what = format!("thread {tid} is attached by itself, where this cannot be done");
            Error::new(Kind::Busy, what).help(format!("let it go first: slowctl detach -t {tid}"))
        }
        _ => Error::not_found(format!("there is no group '{name}' of this module"))
            .help("see what there is: slowctl ls"),
    })
}

/// Where a target is.
pub struct Place {
    /// The groups that its tasks are in.
    pub groups: BTreeSet<String>,
    /// Whether it is to join one: nobody of it would leave another one by that.
    pub is_free: bool,
}

impl Place {
    pub fn of(target: &Target) -> Result<Self> {
        if let Target::Cgroup(cgroup) = target {
            return Self::of_cgroup(cgroup);
        }
        let parts = target.parts()?;
        let groups = parts.iter().filter_map(|part| part.1.as_ref());
        let groups: BTreeSet<String> = groups.map(|group| group.0.clone()).collect();
        for group in &groups {
            let group = Group(group.clone());
            if !group.is_ours() {
                return Err(of_another_handler(&target.to_string(), &group));
            }
        }
        let outside = parts.iter().find(|part| part.1.is_none());
        if let (Some((who, _)), false) = (outside, groups.is_empty()) {
            let groups = Vec::from_iter(groups).join(", ");
            let what = format!("{who} is in no group, and the others are in {groups}");
            return Err(Error::new(Kind::Busy, what).help(format!(
                "let it go first: slowctl detach {}",
                target.as_option()
            )));
        }
        let is_free = groups.is_empty();
        Ok(Self { groups, is_free })
    }

    fn of_cgroup(cgroup: &Cgroup) -> Result<Self> {
        cgroup::require(cgroup)?;
        let mut groups = BTreeSet::new();
        for below in cgroup.with_those_below() {
            // It may have gone.
            groups.extend(below.group().ok().flatten());
            let tasks = below.tasks().into_iter();
            groups.extend(tasks.filter_map(|tid| Task::new(tid)?.group));
        }
        groups.remove(NONE);
        // A nearer cgroup that names another one would leave that of the farther one, and its policy.
        let named = cgroup.effective_group()?;
        let is_free = named.is_none();
        groups.extend(named.map(|(_, group)| group));
        Ok(Self { groups, is_free })
    }
}
