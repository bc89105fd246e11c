// SPDX-License-Identifier: GPL-2.0

//! What there is: groups, tasks, the module.

use crate::{
    cgroup,
    error::{End, Error, Result},
    module::{self, Counter, Group, Policy},
    output::{table, Output},
    target::{Target, TargetArgs},
    task::Task,
};
use serde::{ser::SerializeMap, Serialize, Serializer};
use std::fmt;

/// List the groups
#[derive(clap::Args)]
pub struct LsArgs {}

#[derive(Serialize)]
struct Row {
    group: String,
    policy: Option<String>,
    mode: Option<String>,
    enabled: bool,
    members: Vec<i32>,
    cgroups: Vec<String>,
}

#[derive(Serialize)]
struct List {
    groups: Vec<Row>,
    /// Those that were attached one by one.
    tasks: Vec<Single>,
}

#[derive(Serialize)]
struct Single {
    tid: i32,
    policy: Option<String>,
    mode: Option<String>,
    enabled: bool,
}

fn mode_of(policy: Option<&Policy>) -> Option<String> {
    policy.and_then(|policy| policy.get("mode").ok())
}

fn or_dash(word: Option<&String>) -> String {
    word.cloned().unwrap_or("-".into())
}

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.groups.is_empty() && self.tasks.is_empty() {
            return writeln!(f, "There are no groups.");
        }
        let rows = self.groups.iter().map(|row| {
            vec![
                row.group.clone(),
                or_dash(row.policy.as_ref()),
                match row.enabled {
                    true => or_dash(row.mode.as_ref()),
                    false => "off".into(),
                },
                row.members.len().to_string(),
                or_dash(row.cgroups.first()),
            ]
        });
        let tasks = self.tasks.iter().map(|task| {
            vec![
                format!("(thread {})", task.tid),
                or_dash(task.policy.as_ref()),
                match task.enabled {
                    true => or_dash(task.mode.as_ref()),
                    false => "off".into(),
                },
                "1".into(),
                "-".into(),
            ]
        });
        let header = ["GROUP", "POLICY", "MODE", "TASKS", "CGROUP"];
        f.write_str(&table(&header, rows.chain(tasks)))
    }
}

impl LsArgs {
    pub fn run(self, out: Output) -> Result<End> {
        module::require()?;
        let of_cgroups = cgroup::with_groups().unwrap_or_default();
        let mut groups = Vec::new();
        for group in Group::all()? {
            let policy = group.policy()?;
            let cgroups = of_cgroups.iter().filter(|(_, name)| *name == group.0);
            groups.push(Row {
                mode: mode_of(policy.as_ref()),
                policy: policy.map(|policy| policy.0),
                enabled: group.get("enabled")? == "1",
                members: group.members()?,
                cgroups: cgroups.map(|(cgroup, _)| cgroup.name.clone()).collect(),
                group: group.0,
            });
        }
        let mut tasks = Vec::new();
        for tid in module::tasks()? {
            // It may have exited.
            let Ok(policy) = module::get_of_task(tid, "policy") else {
                continue;
            };
            let policy = (policy != module::NONE).then_some(Policy(policy));
            tasks.push(Single {
                tid,
                mode: mode_of(policy.as_ref()),
                policy: policy.map(|policy| policy.0),
                enabled: module::get_of_task(tid, "enabled").is_ok_and(|value| value == "1"),
            });
        }
        out.print(&List { groups, tasks });
        Ok(End::Good)
    }
}

/// Show groups, policies and counters, and what else judges the calls of tasks
#[derive(clap::Args)]
pub struct ShowArgs {
    /// A group
    #[arg(value_name = "GROUP", group = "targets")]
    group: Option<String>,
    #[command(flatten)]
    targets: TargetArgs,
}

#[derive(Serialize)]
struct Shown {
    target: String,
    /// The first thread of a process.
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<Task>,
    /// How often a task was kept out of the group that the cgroup names.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept_out: Option<u64>,
    group: Option<GroupShown>,
}

#[derive(Serialize)]
struct GroupShown {
    name: String,
    policy: Option<String>,
    mode: Option<String>,
    follow: Option<String>,
    enabled: bool,
    exit_path: String,
    members: Vec<i32>,
    cgroups: Vec<String>,
    #[serde(serialize_with = "as_map")]
    counters: Vec<Counter>,
    /// The rules, with how often each has decided.
    rules: Vec<(u64, String)>,
}

fn as_map<S: Serializer>(counters: &[Counter], to: S) -> std::result::Result<S::Ok, S::Error> {
    let mut map = to.serialize_map(Some(counters.len()))?;
    for (name, value) in counters {
        map.serialize_entry(name, value)?;
    }
    map.end()
}

impl GroupShown {
    fn of_group(group: &Group) -> Result<Self> {
        let policy = group.policy()?;
        let of_cgroups = cgroup::with_groups().unwrap_or_default();
        let cgroups = of_cgroups.into_iter().filter(|(_, name)| *name == group.0);
        Ok(Self {
            name: group.0.clone(),
            mode: mode_of(policy.as_ref()),
            rules: policy.as_ref().map(hits).transpose()?.unwrap_or_default(),
            policy: policy.map(|policy| policy.0),
            follow: Some(group.get("follow")?),
            enabled: group.get("enabled")? == "1",
            exit_path: group.get("exit_path")?,
            members: group.members()?,
            cgroups: cgroups.map(|(cgroup, _)| cgroup.name).collect(),
            counters: group.counters()?,
        })
    }

    /// A task that was attached by itself.
    fn of_task(tid: i32) -> Result<Self> {
        let policy = module::get_of_task(tid, "policy")?;
        let policy = (policy != module::NONE).then_some(Policy(policy));
        Ok(Self {
            name: tid.to_string(),
            mode: mode_of(policy.as_ref()),
            rules: policy.as_ref().map(hits).transpose()?.unwrap_or_default(),
            policy: policy.map(|policy| policy.0),
            follow: None,
            enabled: module::get_of_task(tid, "enabled")? == "1",
            exit_path: module::get_of_task(tid, "exit_path")?,
            members: vec![tid],
            cgroups: Vec::new(),
            counters: module::counters_of_task(tid)?,
        })
    }
}

/// How often each line of a policy has decided.
pub fn hits(policy: &Policy) -> Result<Vec<(u64, String)>> {
    let text = policy.get("hits")?;
    let line = |line: &str| {
        let (number, rule) = line.split_once(' ')?;
        Some((number.parse().ok()?, rule.into()))
    };
    Ok(text.lines().filter_map(line).collect())
}

#[derive(Serialize)]
#[serde(transparent)]
struct AllShown(Vec<Shown>);

impl fmt::Display for AllShown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, shown) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            writeln!(f, "{shown}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.target)?;
        if let Some(task) = &self.task {
            let filters = match task.seccomp {
                "filter" => format!("{} filters", task.seccomp_filters),
                other => other.into(),
            };
            write!(f, "\n  seccomp      {filters}")?;
            write!(
                f,
                "\n  no_new_privs {}",
                if task.no_new_privs { "yes" } else { "no" }
            )?;
            if task.tracer != 0 {
                write!(f, "\n  tracer       {}", task.tracer)?;
            }
        }
        if let Some(kept_out @ 1..) = self.kept_out {
            write!(f, "\n  kept out     {kept_out}")?;
        }
        let Some(group) = &self.group else {
            return write!(f, "\n  group        none");
        };
        if self.task.is_some() || self.target != format!("group {}", group.name) {
            write!(f, "\n  group        {}", group.name)?;
        }
        match (&group.policy, &group.mode) {
            (Some(policy), Some(mode)) => write!(f, "\n  policy       {policy}, mode {mode}")?,
            _ => write!(f, "\n  policy       none")?,
        }
        if !group.enabled {
            write!(f, "\n  enabled      no")?;
        }
        if let Some(follow) = &group.follow {
            write!(f, "\n  follow       {follow}")?;
        }
        if group.exit_path != "auto" {
            write!(f, "\n  exit_path    {}", group.exit_path)?;
        }
        for cgroup in &group.cgroups {
            write!(f, "\n  cgroup       {cgroup}")?;
        }
        let members: Vec<String> = group.members.iter().take(16).map(i32::to_string).collect();
        let more = if group.members.len() > 16 { " ..." } else { "" };
        let (number, members) = (group.members.len(), members.join(" "));
        write!(f, "\n  tasks        {number}: {members}{more}")?;
        let counted = group.counters.iter().filter(|(_, value)| *value > 0);
        let counted: Vec<String> = counted
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        write!(f, "\n  counters     {}", counted.join(", "))?;
        for (hits, rule) in &group.rules {
            write!(f, "\n  {hits:>10}   {rule}")?;
        }
        Ok(())
    }
}

impl ShowArgs {
    pub fn run(self, out: Output) -> Result<End> {
        if self.group.is_none() {
            self.targets.require()?;
        }
        module::require()?;
        if let Some(name) = self.group {
            let group = Group(name.clone());
            if !group.exists() {
                return Err(Error::not_found(format!("there is no group '{name}'"))
                    .help("see what there is: slowctl ls"));
            }
            out.print(&AllShown(vec![Shown {
                target: format!("group {name}"),
                task: None,
                kept_out: None,
                group: Some(GroupShown::of_group(&group)?),
            }]));
            return Ok(End::Good);
        }
        let mut all = Vec::new();
        for target in self.targets.find()? {
            let (task, kept_out) = match &target {
                Target::Process(held) | Target::Thread(held) => (Task::new(held.id), None),
                Target::Cgroup(cgroup) => (None, cgroup.kept_out()),
            };
            let group = match target.group()? {
                Some(group) if group.exists() => Some(GroupShown::of_group(&group)?),
                Some(group) => match group.0.parse() {
                    Ok(tid) if module::tasks()?.contains(&tid) => Some(GroupShown::of_task(tid)?),
                    _ => {
                        return Err(Error::not_found(format!(
                            "{target} is in the group {} of another handler",
                            group.0
                        )))
                    }
                },
                None => None,
            };
            all.push(Shown {
                target: target.to_string(),
                task,
                kept_out,
                group,
            });
        }
        out.print(&AllShown(all));
        Ok(End::Good)
    }
}

/// Say whether the module is on, and what it has done
#[derive(clap::Args)]
pub struct StatusArgs {}

#[derive(Serialize)]
struct Status {
    enabled: bool,
    force_all: bool,
    /// 1, or a word that says why not.
    fastpath: String,
    policies: usize,
    groups: usize,
    tasks: usize,
    #[serde(serialize_with = "as_map")]
    counters: Vec<Counter>,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on = |is_on| if is_on { "on" } else { "off" };
        writeln!(f, "slowpath   {}", on(self.enabled))?;
        if self.force_all {
            writeln!(f, "force_all  on: every task is on the slow path")?;
        }
        match self.fastpath.as_str() {
            "1" => writeln!(f, "fast path  on")?,
            why => writeln!(f, "fast path  off: {why}")?,
        }
        writeln!(f, "policies   {}", self.policies)?;
        writeln!(f, "groups     {}, with {} tasks", self.groups, self.tasks)?;
        let counted = self.counters.iter().filter(|(_, value)| *value > 0);
        let counted: Vec<String> = counted
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        writeln!(f, "counters   {}", counted.join(", "))
    }
}

impl StatusArgs {
    pub fn run(self, out: Output) -> Result<End> {
        module::require()?;
        let groups = Group::all()?;
        let mut tasks = module::tasks()?.len();
        for group in &groups {
            tasks += group.members()?.len();
        }
        out.print(&Status {
            enabled: module::get("enabled")? == "1",
            force_all: module::get("force_all")? == "1",
            fastpath: module::get("fastpath")?,
            policies: Policy::all()?.len(),
            groups: groups.len(),
            tasks,
            counters: module::totals()?,
        });
        Ok(End::Good)
    }
}
