// SPDX-License-Identifier: GPL-2.0

//! What there is: groups, tasks, the module.

use crate::{
    cgroup,
    error::{End, Kind, Result},
    module::{self, Counter, Group, Policy},
    output::{plain, table, Output},
    restarts,
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
    /// Those that come into it when they are started.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    services: Vec<String>,
    /// It has a policy, and nobody is in it, nor can come by a cgroup.
    deserted: bool,
}

impl Row {
    fn new(group: Group, of_cgroups: &[(cgroup::Cgroup, String)]) -> Result<Self> {
        let policy = group.policy()?;
        let members = group.members()?;
        let cgroups = of_cgroups.iter().filter(|(_, name)| *name == group.0);
        let cgroups: Vec<String> = cgroups.map(|(cgroup, _)| cgroup.name.clone()).collect();
        let services = restarts::covered_by(&group);
        let is_nobodys = members.is_empty() && cgroups.is_empty() && services.is_empty();
        Ok(Self {
            deserted: policy.is_some() && is_nobodys,
            services,
            mode: mode_of(policy.as_ref()),
            policy: policy.map(|policy| policy.0),
            enabled: group.get("enabled")? == "1",
            members,
            cgroups,
            group: group.0,
        })
    }
}

/// The groups; one that goes meanwhile is left out.
fn rows() -> Result<Vec<Row>> {
    let of_cgroups = cgroup::with_groups().unwrap_or_default();
    let mut rows = Vec::new();
    for group in Group::all()? {
        match Row::new(group, &of_cgroups) {
            Err(e) if e.kind == Kind::NotFound => {}
            row => rows.push(row?),
        }
    }
    Ok(rows)
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

pub fn mode_of(policy: Option<&Policy>) -> Option<String> {
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
                plain(&or_dash(row.cgroups.first())),
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
        f.write_str(&table(&header, rows.chain(tasks)))?;
        for row in &self.groups {
            for service in row.services.iter().filter(|_| row.cgroups.is_empty()) {
                writeln!(f, "{service} comes into {} when it is started", row.group)?;
            }
        }
        for row in self.groups.iter().filter(|row| row.deserted) {
            let group = &row.group;
            writeln!(
                f,
                "{group} has a policy, and nobody is in it: has its service been restarted?"
            )?;
        }
        Ok(())
    }
}

impl LsArgs {
    pub fn run(self, out: Output) -> Result<End> {
        module::require()?;
        let groups = rows()?;
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

pub fn as_map<S: Serializer>(counters: &[Counter], to: S) -> std::result::Result<S::Ok, S::Error> {
    let mut map = to.serialize_map(Some(counters.len()))?;
    for (name, value) in counters {
        map.serialize_entry(name, value)?;
    }
    map.end()
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
    /// The groups that have a policy, and nobody who is or comes under it.
    deserted: Vec<String>,
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
        if !self.deserted.is_empty() {
            let deserted = self.deserted.join(" ");
            writeln!(
                f,
                "deserted   {deserted}: under a policy, with nobody in it"
            )?;
        }
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
        let groups = rows()?;
        let of_groups: usize = groups.iter().map(|row| row.members.len()).sum();
        let deserted = groups.iter().filter(|row| row.deserted);
        out.print(&Status {
            enabled: module::get("enabled")? == "1",
            force_all: module::get("force_all")? == "1",
            fastpath: module::get("fastpath")?,
            policies: Policy::all()?.len(),
            deserted: deserted.map(|row| row.group.clone()).collect(),
            groups: groups.len(),
            tasks: of_groups + module::tasks()?.len(),
            counters: module::totals()?,
        });
        Ok(End::Good)
    }
}
