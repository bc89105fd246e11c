// SPDX-License-Identifier: GPL-2.0

//! Policies: looked at, written, compared, removed.

use crate::{
    edit::edit,
    error::{End, Error, Kind, Result, Trying},
    guard::{self, ForceArgs},
    list::hits,
    module::{self, Group, Policy},
    output::{coloured, table, Output, BAD, GOOD},
    text::{self, Place, Text},
};
use serde::Serialize;
use similar::{ChangeTag, TextDiff};
use std::{
    fmt,
    path::{Path, PathBuf},
};

#[derive(clap::Subcommand)]
pub enum PolicyCommand {
    /// List the policies
    Ls,
    /// Show the rules of a policy, and how often each has decided
    Show {
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Make a policy, or replace its rules
    Set {
        #[arg(value_name = "NAME")]
        name: String,
        /// A file of rules; - is standard input
        file: PathBuf,
        /// A policy that is made is to log only
        #[arg(long)]
        log: bool,
        #[command(flatten)]
        force: ForceArgs,
    },
    /// Change the rules in $VISUAL or $EDITOR; in force when the editor ends
    Edit {
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        force: ForceArgs,
    },
    /// Say what changes if the rules become those of a file, or of another policy; 1 if anything does
    Diff {
        #[arg(value_name = "NAME")]
        name: String,
        #[arg(value_name = "FILE|NAME")]
        other: String,
    },
    /// Remove policies that nothing is under
    Rm {
        #[arg(value_name = "NAME", required = true)]
        names: Vec<String>,
    },
}

#[derive(Serialize)]
struct Row {
    policy: String,
    mode: String,
    /// How many lines can decide.
    lines: usize,
    hits: u64,
    groups: Vec<String>,
}

impl Row {
    fn new(policy: Policy) -> Result<Self> {
        let hits = hits(&policy)?;
        Ok(Self {
            mode: policy.get("mode")?,
            lines: hits.len(),
            hits: hits.iter().map(|(hits, _)| hits).sum(),
            groups: groups_under(&policy)?,
            policy: policy.0,
        })
    }
}

#[derive(Serialize)]
#[serde(transparent)]
struct Rows(Vec<Row>);

impl fmt::Display for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return writeln!(f, "There are no policies.");
        }
        let rows = self.0.iter().map(|row| {
            let groups = match row.groups.is_empty() {
                true => "-".into(),
                false => row.groups.join(" "),
            };
            vec![
                row.policy.clone(),
                row.mode.clone(),
                row.lines.to_string(),
                row.hits.to_string(),
                groups,
            ]
        });
        let header = ["POLICY", "MODE", "LINES", "HITS", "GROUPS"];
        f.write_str(&table(&header, rows))
    }
}

#[derive(Serialize)]
struct Shown {
    policy: String,
    mode: String,
    groups: Vec<String>,
    rules: String,
    hits: Vec<(u64, String)>,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# policy {}, mode {}", self.policy, self.mode)?;
        if self.rules.lines().any(|line| line == "order first") {
            writeln!(f, "order first")?;
        }
        let rules = || self.hits.iter().map(|(_, rule)| rule.chars().count());
        let width = rules().max().unwrap_or_default();
        for (hits, rule) in &self.hits {
            writeln!(f, "{rule:<width$}  # {hits}")?;
        }
        Ok(())
    }
}

/// What was done to a policy.
#[derive(Serialize)]
pub struct Changed {
    pub policy: String,
    pub done: String,
    /// The groups that are under it.
    pub groups: Vec<String>,
    /// Those of them whose calls are not judged, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_judged: Vec<NotJudged>,
    pub warnings: Vec<Place>,
}

#[derive(Serialize)]
pub struct NotJudged {
    group: String,
    why: String,
}

impl Changed {
    pub fn new(policy: Policy, done: impl Into<String>, warnings: Vec<Place>) -> Self {
        // It is done: what cannot be read any more is not a failure.
        let groups = groups_under(&policy).unwrap_or_default();
        let not_judged = groups.iter().filter_map(|group| {
            let why = module::why_not_judged(&Group(group.clone())).ok()??;
            Some(NotJudged {
                group: group.clone(),
                why,
            })
        });
        Self {
            not_judged: not_judged.collect(),
            done: done.into(),
            policy: policy.0,
            groups,
            warnings,
        }
    }
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for warning in &self.warnings {
            writeln!(f, "{warning}")?;
        }
        let groups = match self.groups.as_slice() {
            [] => String::new(),
            groups => format!(", for {}", groups.join(" ")),
        };
        writeln!(f, "policy {}: {}{groups}", self.policy, self.done)?;
        for NotJudged { group, why } in &self.not_judged {
            writeln!(f, "but nothing is judged of {group}: {why}")?;
        }
        Ok(())
    }
}

/// The groups that are under a policy.
pub fn groups_under(policy: &Policy) -> Result<Vec<String>> {
    let tasks = module::tasks()?.into_iter();
    let tasks = tasks.map(|tid| Group(format!("task/{tid}")));
    let mut names = Vec::new();
    for group in Group::all()?.into_iter().chain(tasks) {
        match group.policy() {
            Ok(Some(other)) if other == *policy => names.push(group.0),
            // One that goes meanwhile.
            Err(e) if e.kind != Kind::NotFound => return Err(e),
            _ => {}
        }
    }
    Ok(names)
}

impl PolicyCommand {
    pub fn run(self, out: Output) -> Result<End> {
        module::require()?;
        match self {
            Self::Ls => ls(out),
            Self::Show { name } => show(out, &Policy::named(&name)?),
            Self::Set {
                name,
                file,
                log,
                force,
            } => set(out, Policy(name), &file, log, force),
            Self::Edit { name, force } => edit(out, &Policy::named(&name)?, force),
            Self::Diff { name, other } => diff(out, &Policy::named(&name)?, &other),
            Self::Rm { names } => rm(out, &names),
        }
    }
}

fn ls(out: Output) -> Result<End> {
    let mut rows = Vec::new();
    for policy in Policy::all()? {
        match Row::new(policy) {
            // It goes meanwhile.
            Err(e) if e.kind == Kind::NotFound => {}
            row => rows.push(row?),
        }
    }
    out.print(&Rows(rows));
    Ok(End::Good)
}

fn show(out: Output, policy: &Policy) -> Result<End> {
    out.print(&Shown {
        policy: policy.0.clone(),
        mode: policy.get("mode")?,
        groups: groups_under(policy)?,
        rules: policy.get("rules")?,
        hits: hits(policy)?,
    });
    Ok(End::Good)
}

fn set(out: Output, policy: Policy, file: &Path, log: bool, force: ForceArgs) -> Result<End> {
    let what = file.display().to_string();
    let rules = text::read(file).trying(what.as_str())?;
    let is_new = !policy.exists();
    if is_new {
        policy.create()?;
    } else if log && policy.get("mode")? != "log" {
        return Err(Error::new(
            Kind::Busy,
            format!("the policy {} is there, and enforced", policy.0),
        )
        .help(format!("have it log: slowctl mode {} log", policy.0)));
    } else if !force.force {
        guard::enforced_policy(&policy)?;
    }
    let written = (|| {
        if is_new && log {
            policy.set_mode("log")?;
        }
        let _lock = policy.lock()?;
        let written = policy.set_rules(&what, &rules);
        written.map_err(|refusal| refusal.into_error(&what))
    })();
    if is_new && written.is_err() {
        let _ = policy.remove();
    }
    let done = if is_new { "made" } else { "rules replaced" };
    out.print(&Changed::new(policy, done, written?));
    Ok(End::Good)
}

#[derive(Serialize)]
struct Line {
    change: &'static str,
    rule: String,
}

#[derive(Serialize)]
struct Difference {
    policy: String,
    other: String,
    lines: Vec<Line>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Line { change, rule } in &self.lines {
            match *change {
                "removed" => writeln!(f, "{}", coloured(BAD, format!("-{rule}")))?,
                "added" => writeln!(f, "{}", coloured(GOOD, format!("+{rule}")))?,
                _ => writeln!(f, " {rule}")?,
            }
        }
        Ok(())
    }
}

/// The canonical rules of a policy, or of a file.
pub fn canonical(said: &str) -> Result<String> {
    let policy = Policy(said.into());
    if policy.exists() {
        return Ok(policy.get("rules")? + "\n");
    }
    let rules = text::read(Path::new(said)).trying(said)?;
    let text = Text::parse(said, &rules).map_err(|places| Error::rules(said, places))?;
    Ok(text.set.to_string())
}

fn diff(out: Output, policy: &Policy, other: &str) -> Result<End> {
    difference(out, (&policy.0, policy.get("rules")? + "\n"), other)
}

/// Says how canonical rules differ from those of another policy, or of a file.
pub fn difference(out: Output, (name, old): (&str, String), other: &str) -> Result<End> {
    let new = canonical(other)?;
    if old == new {
        if out.json {
            out.print(&Difference {
                policy: name.into(),
                other: other.into(),
                lines: Vec::new(),
            });
        }
        return Ok(End::Good);
    }
    let lines = TextDiff::from_lines(&old, &new);
    let lines = lines.iter_all_changes().map(|change| Line {
        change: match change.tag() {
            ChangeTag::Delete => "removed",
            ChangeTag::Insert => "added",
            ChangeTag::Equal => "kept",
        },
        rule: change.value().trim_end_matches('\n').into(),
    });
    out.print(&Difference {
        policy: name.into(),
        other: other.into(),
        lines: lines.collect(),
    });
    Ok(End::Different)
}

#[derive(Serialize)]
struct Removed {
    removed: Vec<String>,
    errors: Vec<Error>,
}

impl fmt::Display for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for name in &self.removed {
            writeln!(f, "policy {name}: removed")?;
        }
        for error in &self.errors {
            writeln!(f, "{error}")?;
        }
        Ok(())
    }
}

fn remove(name: &str) -> Result<()> {
    let policy = Policy::named(name)?;
    policy.remove().map_err(|e| {
        let error = Error::io(format!("removing the policy {name}"), &e);
        let groups = groups_under(&policy).unwrap_or_default();
        match groups.first() {
            Some(group) if error.kind == Kind::Busy => Error::new(
                Kind::Busy,
                format!(
                    "the policy {name} is in use, by the group {}",
                    groups.join(", ")
                ),
            )
            .help(format!(
                "let it go first: slowctl detach --rm --group {group}"
            )),
            _ => error,
        }
    })
}

fn rm(out: Output, names: &[String]) -> Result<End> {
    let (mut removed, mut errors) = (Vec::new(), Vec::new());
    for name in names {
        match remove(name) {
            Ok(()) => removed.push(name.clone()),
            Err(error) => errors.push(error),
        }
    }
    if let (true, [_]) = (removed.is_empty(), errors.as_slice()) {
        return Err(errors.remove(0));
    }
    let end = match errors.first().map(|first| first.kind) {
        None => End::Good,
        Some(kind) if removed.is_empty() && errors.iter().all(|e| e.kind == kind) => End::Bad(kind),
        Some(_) => End::Bad(Kind::Partial),
    };
    out.print(&Removed { removed, errors });
    Ok(end)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    Log,
    Enforce,
}

impl Mode {
    /// Enforces no rules that would lock somebody out, unless forced. Says what was done.
    pub fn set(self, policy: &Policy, forced: bool) -> Result<String> {
        let mode = match self {
            Self::Log => "log",
            Self::Enforce => "enforce",
        };
        if self == Self::Enforce && !forced {
            guard::policy(policy)?;
        }
        policy.set_mode(mode)?;
        Ok(format!("mode {mode}"))
    }
}

/// Have a policy carry out what its rules say, or only log it
#[derive(clap::Args)]
pub struct ModeArgs {
    #[arg(value_name = "NAME")]
    name: String,
    mode: Mode,
    #[command(flatten)]
    force: ForceArgs,
}

impl ModeArgs {
    pub fn run(self, out: Output) -> Result<End> {
        module::require()?;
        let policy = Policy::named(&self.name)?;
        let what = self.mode.set(&policy, self.force.force)?;
        out.print(&Changed::new(policy, what, Vec::new()));
        Ok(End::Good)
    }
}
