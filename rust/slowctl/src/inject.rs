// SPDX-License-Identifier: GPL-2.0

//! Errors, results, signals and delays for live tasks, by the expressions of strace(1).

mod classes;
mod expression;
mod rules;
mod set;
#[cfg(test)]
mod tests;

use crate::{
    error::{End, Error, Kind, Result, Trying},
    guard::{self, ForceArgs},
    list::hits,
    module::{self, Group},
    output::Output,
    outside::Outside,
    setup::{Setup, SetupArgs},
    signals::Signals,
    target::{Held, Target, TargetArgs},
    task,
    trial::Trial,
    watch::Place,
};
use expression::Expression;
use rules::Rules;
use serde::Serialize;
use std::{fmt, time::Duration};

/// Inject errors, results, signals and delays into calls of live tasks, as strace does
#[derive(clap::Args)]
pub struct InjectArgs {
    #[command(flatten)]
    targets: TargetArgs,
    #[command(flatten)]
    force: ForceArgs,
    /// SET[:error=E|:retval=N][:signal=S][:delay_enter=T][:delay_exit=T][:poke_enter=@argN=HEX]
    /// [:poke_exit=@argN=HEX][:when=FIRST[..LAST][+[STEP]]], or fault=SET
    #[arg(short = 'e', value_name = "EXPR", required = true)]
    expressions: Vec<String>,
    /// Into what the processes start, too
    #[arg(short, long)]
    follow_forks: bool,
    /// For when=, count the calls of all tasks together, not of each thread by itself
    #[arg(long)]
    together: bool,
    /// So long, such as 90s or 10m; without, until it is interrupted
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
    /// End at once, and go on injecting
    #[arg(long, conflicts_with = "duration")]
    keep: bool,
    /// Print the rules that do it, and do nothing
    #[arg(long, conflicts_with_all = ["targets", "keep", "duration"])]
    print: bool,
}

#[derive(Serialize)]
struct Injected {
    targets: Vec<String>,
    groups: Vec<String>,
    /// The rules, with how often each has decided.
    rules: Vec<(u64, String)>,
    notes: Vec<String>,
    kept: bool,
    /// Whether nothing is switched off.
    judged: bool,
}

impl fmt::Display for Injected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (hits, rule) in &self.rules {
            writeln!(f, "{hits:>10}  {rule}")?;
        }
        if self.kept {
            let groups: Vec<String> = self.groups.iter().map(|g| format!("--group {g}")).collect();
            writeln!(f, "let go: slowctl detach {}", groups.join(" "))?;
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct Printed {
    rules: String,
    notes: Vec<String>,
}

impl fmt::Display for Printed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rules)
    }
}

/// Tasks that count together, in a group of their own.
struct Unit {
    setup: Setup,
    trial: Trial,
    targets: Vec<Target>,
}

/// All that is done, until it is taken back. The first one has the policy.
struct Injection<'a> {
    args: &'a InjectArgs,
    rules: &'a Rules,
    /// Whether each thread counts by itself.
    is_each: bool,
    suggested: String,
    follow: &'static str,
    units: Vec<Unit>,
    notes: Vec<String>,
    is_partial: bool,
}

impl InjectArgs {
    pub fn run(self, out: Output) -> Result<End> {
        let expressions = self.expressions.iter().map(|text| Expression::parse(text));
        let expressions = expressions.collect::<Result<Vec<_>>>()?;
        let rules = Rules::new(&expressions)?;
        if self.print {
            for note in &rules.notes {
                out.note(note);
            }
            out.print(&Printed {
                rules: rules.text,
                notes: rules.notes,
            });
            return Ok(End::Good);
        }
        self.targets.require()?;
        module::require()?;
        let targets = self.targets.find_unneeded(self.force)?;
        for target in &targets {
            refuse_grouped(target)?;
        }
        let is_each = rules.counts && !self.together;
        if is_each {
            self.refuse_together(&targets)?;
        }
        // From here on it is not to be interrupted in the middle.
        let signals = Signals::new()?;
        let names: Vec<String> = targets.iter().map(Target::to_string).collect();
        let mut injection = Injection::new(&self, &rules, is_each, &targets);
        let started = injection.start(targets);
        // Switched off, nothing happens.
        if let (Some(unit), Ok(())) = (injection.units.first(), &started) {
            let why = module::why_not_judged(&unit.setup.group).ok().flatten();
            let note = why.map(|why| format!("nothing is injected: {why}"));
            injection.notes.extend(note);
        }
        let judged = module::get("enabled").is_ok_and(|enabled| enabled == "1");
        let result = started.and_then(|()| {
            for note in &injection.notes {
                out.note(note);
            }
            if self.keep {
                return Ok(());
            }
            let until = match self.duration {
                Some(time) => format!("for {}", humantime::format_duration(time)),
                None => "until interrupted".into(),
            };
            out.note(&format!("injecting {until}: {}", names.join(", ")));
            signals.wait(self.duration, &injection.groups())
        });
        let groups = injection.groups();
        let said = injection.notes.len();
        let decided = result.and_then(|()| injection.decided());
        for note in &injection.notes[said..] {
            out.note(note);
        }
        let ended = match self.keep && decided.is_ok() {
            true => Ok(()),
            false => injection.end(out),
        };
        out.print(&Injected {
            targets: names,
            groups: groups.into_iter().map(|group| group.0).collect(),
            rules: decided?,
            notes: injection.notes,
            kept: self.keep,
            judged,
        });
        ended.map(|()| match injection.is_partial {
            true => End::Bad(Kind::Partial),
            false => End::Good,
        })
    }

    /// What cannot be if each thread counts by itself.
    fn refuse_together(&self, targets: &[Target]) -> Result<()> {
        let counted = "the tasks of a group count together, and these come to one";
        let help = "have all count together: --together";
        if self.follow_forks {
            let what = format!("-f with when=: {counted}");
            return Err(Error::usage(what).help(help));
        }
        let cgroup = targets.iter().find(|t| matches!(t, Target::Cgroup(_)));
        if let Some(cgroup) = cgroup {
            let what = format!("when= for the {cgroup}: {counted}");
            return Err(Error::usage(what).help(help));
        }
        let is_one = matches!(targets, [Target::Thread(_)]);
        if self.keep && !is_one {
            let what = "--keep: each thread would stay in a group of its own, to count by itself";
            return Err(Error::usage(what)
                .help("have all count together by --together, or say one thread by -t"));
        }
        Ok(())
    }
}

impl<'a> Injection<'a> {
    fn new(args: &'a InjectArgs, rules: &'a Rules, is_each: bool, targets: &[Target]) -> Self {
        let is_thread = |target: &Target| matches!(target, Target::Thread(_));
        Self {
            args,
            rules,
            is_each,
            suggested: targets[0].short_name(),
            follow: match () {
                () if args.follow_forks => "all",
                () if is_each || targets.iter().all(is_thread) => "none",
                () => "threads",
            },
            units: Vec::new(),
            notes: rules.notes.clone(),
            is_partial: false,
        }
    }

    /// Has all join, each in its group or all in one; or fails.
    fn start(&mut self, targets: Vec<Target>) -> Result<()> {
        let mut known = Vec::new();
        let mut new = targets;
        while !new.is_empty() {
            for target in &new {
                let joined = match self.is_each {
                    true => self.join_threads(target),
                    false => self.join(target),
                };
                match joined {
                    // Made meanwhile, and gone again.
                    Err(e) if !known.is_empty() && e.kind == Kind::NotFound => {}
                    joined => joined?,
                }
            }
            known.append(&mut new);
            // Those of a name that were made before whoever made them had joined.
            new = self.args.targets.find_more(&known);
            if !self.args.force.force {
                guard::targets(&new)?;
            }
        }
        match self.units.iter().all(|unit| unit.targets.is_empty()) {
            true => Err(Error::not_found("all targets are gone")),
            false => Ok(()),
        }
    }

    /// Each thread in a group of its own, until none is new.
    fn join_threads(&mut self, target: &Target) -> Result<()> {
        let mut seen = Vec::new();
        loop {
            let mut tids = match target {
                Target::Process(held) => task::threads_of(held.id),
                Target::Thread(held) => vec![held.id],
                Target::Cgroup(_) => Vec::new(),
            };
            tids.retain(|tid| !seen.contains(tid) && !self.has_thread(*tid));
            if tids.is_empty() || target.is_gone() {
                return Ok(());
            }
            for tid in tids {
                seen.push(tid);
                // One that has ended meanwhile is nobody's.
                let Some(held) = Held::of_thread(tid).filter(|_| !target.is_gone()) else {
                    continue;
                };
                match self.join_in_new(Target::Thread(held)) {
                    Err(e) if e.kind == Kind::NotFound || task::makes_no_calls(tid) => {}
                    joined => joined?,
                }
            }
        }
    }

    fn has_thread(&self, tid: i32) -> bool {
        let targets = self.units.iter().flat_map(|unit| &unit.targets);
        let mut threads = targets.filter(|target| !target.is_gone());
        threads.any(|target| matches!(target, Target::Thread(held) if held.id == tid))
    }

    /// With all others, in the first group.
    fn join(&mut self, target: &Target) -> Result<()> {
        let target = target.try_clone()?;
        match self.units.is_empty() {
            true => self.join_in_new(target),
            false => self.join_in(0, target),
        }
    }

    fn join_in_new(&mut self, target: Target) -> Result<()> {
        let setup = match self.units.first() {
            None => {
                let rules = self.rules.text.as_bytes();
                Setup::with_rules("the injection", rules, &self.suggested)?
            }
            Some(first) => {
                let policy = first.setup.policy.as_ref();
                let args = SetupArgs {
                    policy: policy.map(|policy| policy.0.clone()),
                    ..SetupArgs::default()
                };
                Setup::new(&args, &self.suggested, self.args.force)?
            }
        };
        let trial = Trial::new(&setup).inspect_err(|_| {
            setup.undo();
        })?;
        let file = setup.group.path("follow");
        let followed = module::write(file, self.follow).trying("what the group follows");
        self.units.push(Unit {
            setup,
            trial,
            targets: Vec::new(),
        });
        followed?;
        self.join_in(self.units.len() - 1, target)
    }

    fn join_in(&mut self, index: usize, target: Target) -> Result<()> {
        let unit = &mut self.units[index];
        let group = &unit.setup.group;
        let kept_out = match &target {
            Target::Cgroup(cgroup) => cgroup.kept_out(),
            _ => None,
        };
        if !target.is_wholly_in(group) {
            target.join(group, false)?;
            unit.trial.has_joined(&target, false);
        }
        if let Target::Cgroup(cgroup) = &target {
            let outside = Outside::of(cgroup, group, kept_out);
            if !outside.is_empty() {
                let note = format!("{target}: not into all of it\n{outside}");
                self.notes.push(note.trim_end().into());
                self.is_partial = true;
            }
        }
        unit.targets.push(target);
        Ok(())
    }

    fn groups(&self) -> Vec<Group> {
        let groups = self.units.iter().map(|unit| unit.setup.group.clone());
        groups.collect()
    }

    /// The rules, and how often each has decided.
    fn decided(&mut self) -> Result<Vec<(u64, String)>> {
        let policy = self.units.first().and_then(|u| u.setup.policy.as_ref());
        let mut decided = match policy.map(hits).transpose() {
            Err(e) if e.kind == Kind::NotFound => {
                let note =
                    "the policy was removed meanwhile: how often it has decided is not known";
                self.notes.push(note.into());
                Vec::new()
            }
            decided => decided?.unwrap_or_default(),
        };
        decided.retain(|(_, rule)| !rule.starts_with("default "));
        Ok(decided)
    }

    /// Lets all go, and removes what was made. The policy goes last.
    fn end(&self, out: Output) -> Result<()> {
        let mut result = Ok(());
        for unit in self.units.iter().rev() {
            let ended = unit.trial.end(&unit.targets, &unit.setup, out);
            result = result.and(ended);
        }
        result
    }
}

/// One that is in a group would leave it, and the policy that this is under.
fn refuse_grouped(target: &Target) -> Result<()> {
    let place = Place::of(target)?;
    let Some(group) = place.groups.first() else {
        return Ok(());
    };
    let what = format!("{target} is in the group {group} already, or a part of it is");
    Err(Error::new(Kind::Busy, what)
        .help("let it go first: slowctl detach; or add rules to its policy: slowctl policy edit"))
}

/// A set of calls, on the command line.
#[derive(Clone, Debug)]
pub struct Selection(set::Set);

impl std::str::FromStr for Selection {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match set::parse(text) {
            Ok(set) => Ok(Self(set)),
            Err(e) => Err(e.message),
        }
    }
}

impl Selection {
    /// Whether it has a call; what has no name is in all of them.
    pub fn has(&self, name: &crate::counts::CallName) -> bool {
        let number = name.abi().zip(name.number());
        let callee = number.map(|(abi, number)| set::Callee::Number(abi as usize, number));
        callee.is_none_or(|callee| self.0.contains(&callee) || !set::is_known(callee))
    }
}
