// SPDX-License-Identifier: GPL-2.0

//! A group, or those of targets, in full.

use crate::{
    cgroup,
    error::{End, Error, Result},
    list::{as_map, hits, mode_of},
    membership::of_another_handler,
    module::{self, Counter, Group},
    output::{plain, Output},
    target::{Target, TargetArgs},
    task::Task,
};
use serde::Serialize;
use std::fmt;

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
    count_exits: bool,
    members: Vec<i32>,
    cgroups: Vec<String>,
    #[serde(serialize_with = "as_map")]
    counters: Vec<Counter>,
    /// The rules, with how often each has decided.
    rules: Vec<(u64, String)>,
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
            count_exits: group.get("count_exits")? == "1",
            members: group.members()?,
            cgroups: cgroups.map(|(cgroup, _)| cgroup.name).collect(),
            counters: group.counters()?,
        })
    }

    /// A task that was attached by itself: its group is called by a TID that it has had.
    fn of_task(group: &Group, tid: i32) -> Result<Self> {
        let policy = group.policy()?;
        Ok(Self {
            name: group.0.clone(),
            mode: mode_of(policy.as_ref()),
            rules: policy.as_ref().map(hits).transpose()?.unwrap_or_default(),
            policy: policy.map(|policy| policy.0),
            follow: None,
            enabled: group.setting("enabled")? == "1",
            exit_path: group.setting("exit_path")?,
            count_exits: group.setting("count_exits")? == "1",
            members: vec![tid],
            cgroups: Vec::new(),
            counters: module::counters_of_task(tid)?,
        })
    }

    /// That of a target.
    fn of(target: &str, group: Group) -> Result<Self> {
        match group.attached() {
            _ if !group.is_ours() => Err(of_another_handler(target, &group)),
            Some(tid) => Self::of_task(&group, tid),
            None => Self::of_group(&group),
        }
    }
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
        if group.count_exits {
            write!(f, "\n  count_exits  yes")?;
        }
        for cgroup in &group.cgroups {
            write!(f, "\n  cgroup       {}", plain(cgroup))?;
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
        match self.group {
            None => self.targets.require()?,
            Some(_) if self.targets.is_empty() => {}
            Some(_) => return Err(Error::usage("a group, or targets: not both")),
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
            for (part, group) in target.parts()? {
                let group = group.map(|group| GroupShown::of(&part, group));
                all.push(Shown {
                    target: part,
                    task: task.clone(),
                    kept_out,
                    group: group.transpose()?,
                });
            }
        }
        out.print(&AllShown(all));
        Ok(End::Good)
    }
}
