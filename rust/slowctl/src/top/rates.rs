// SPDX-License-Identifier: GPL-2.0

//! How much of everything there is a second: the difference of two looks.

use crate::{
    counts::{CallName, Counts},
    error::{Kind, Result},
    latency::quantile,
    list::mode_of,
    module::{self, Counter, Group, Policy, NONE},
};
use serde::Serialize;
use std::time::Instant;

/// Whose counters they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    Group(Group),
    /// One that was attached by itself.
    Task(i32),
}

/// A group, as it was at one time.
#[derive(Clone, Debug)]
struct Looked {
    who: Who,
    policy: Option<String>,
    mode: Option<String>,
    enabled: bool,
    tasks: usize,
    calls: u64,
    refused: u64,
}

/// The counters of verdicts by which a call is not made.
const REFUSALS: [&str; 5] = ["return", "errno", "trap", "kill_thread", "kill_process"];

impl Looked {
    fn new(who: Who, policy: Option<Policy>, tasks: usize, counters: &[Counter]) -> Self {
        let sum = |names: &[&str]| {
            let wanted = counters
                .iter()
                .filter(|(name, _)| names.contains(&name.as_str()));
            wanted.map(|(_, value)| value).sum()
        };
        Self {
            who,
            mode: mode_of(policy.as_ref()),
            policy: policy.map(|policy| policy.0),
            enabled: true,
            tasks,
            calls: sum(&["entries"]),
            refused: sum(&REFUSALS),
        }
    }

    fn of_group(group: &Group) -> Result<Self> {
        let policy = group.policy()?;
        let tasks = group.members()?.len();
        let counters = group.counters()?;
        Ok(Self {
            enabled: group.get("enabled")? == "1",
            ..Self::new(Who::Group(group.clone()), policy, tasks, &counters)
        })
    }

    fn of_task(tid: i32) -> Result<Self> {
        let policy = module::get_of_task(tid, "policy")?;
        let policy = (policy != NONE).then_some(Policy(policy));
        let counters = module::counters_of_task(tid)?;
        Ok(Self {
            enabled: module::get_of_task(tid, "enabled")? == "1",
            ..Self::new(Who::Task(tid), policy, 1, &counters)
        })
    }

    fn name(&self) -> String {
        match &self.who {
            Who::Group(group) => group.0.clone(),
            Who::Task(tid) => format!("(thread {tid})"),
        }
    }
}

/// What there was at one time.
pub struct Sample {
    at: Instant,
    enabled: bool,
    fastpath: String,
    groups: Vec<Looked>,
}

impl Default for Sample {
    fn default() -> Self {
        Self {
            at: Instant::now(),
            enabled: true,
            fastpath: String::new(),
            groups: Vec::new(),
        }
    }
}

impl Sample {
    /// Of these groups, or of all there are. One that is gone is left out.
    pub fn new(groups: Option<&[Group]>) -> Result<Self> {
        let mut looked = Vec::new();
        let mut take = |found: Result<Looked>| match found {
            Err(e) if e.kind == Kind::NotFound => Ok(()),
            found => found.map(|found| looked.push(found)),
        };
        match groups {
            Some(groups) => groups
                .iter()
                .try_for_each(|group| take(Looked::of_group(group)))?,
            None => {
                for group in Group::all()? {
                    take(Looked::of_group(&group))?;
                }
                for tid in module::tasks()? {
                    take(Looked::of_task(tid))?;
                }
            }
        }
        Ok(Self {
            at: Instant::now(),
            enabled: module::get("enabled")? == "1",
            fastpath: module::get("fastpath")?,
            groups: looked,
        })
    }
}

/// A group, and how many calls its tasks make a second.
#[derive(Clone, Debug, Serialize)]
pub struct GroupRates {
    #[serde(skip)]
    pub who: Who,
    #[serde(rename = "group")]
    pub name: String,
    pub policy: Option<String>,
    pub mode: Option<String>,
    pub enabled: bool,
    pub tasks: usize,
    #[serde(rename = "calls_per_second")]
    pub calls: f64,
    /// How many of these are not made, or would not be if the policy was enforced.
    #[serde(rename = "refused_per_second")]
    pub refused: f64,
    /// How many were not made in all.
    #[serde(rename = "refused")]
    pub all_refused: u64,
}

/// What is shown at one time.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Rates {
    pub enabled: bool,
    pub fastpath: String,
    pub groups: Vec<GroupRates>,
}

/// CAST: Such numbers of calls are exact.
fn rate(now: u64, before: u64, seconds: f64) -> f64 {
    now.saturating_sub(before) as f64 / seconds.max(1e-3)
}

impl Rates {
    pub fn between(before: &Sample, now: &Sample) -> Self {
        let seconds = (now.at - before.at).as_secs_f64();
        let groups = now.groups.iter().map(|group| {
            // One that is new has been counted from 0 on; what another of its name has counted is no
            // part of that.
            let old = before.groups.iter().find(|old| old.who == group.who);
            let old = old.filter(|old| old.calls <= group.calls);
            let calls = old.map_or(0, |old| old.calls);
            let refused = old.map_or(0, |old| old.refused);
            GroupRates {
                who: group.who.clone(),
                name: group.name(),
                policy: group.policy.clone(),
                mode: group.mode.clone(),
                enabled: group.enabled,
                tasks: group.tasks,
                calls: rate(group.calls, calls, seconds),
                refused: rate(group.refused, refused, seconds),
                all_refused: group.refused,
            }
        });
        Self {
            enabled: now.enabled,
            fastpath: now.fastpath.clone(),
            groups: groups.collect(),
        }
    }
}

/// What a group had counted of its calls at one time.
pub struct CallSample {
    at: Instant,
    counts: Counts,
}

/// A call, how often it is made a second, and how long it takes.
#[derive(Clone, Debug)]
pub struct CallRates {
    pub name: CallName,
    pub calls: f64,
    pub errors: f64,
    /// Half of those that have returned, and 99 of 100, took less than this, in nanoseconds.
    pub p50_ns: Option<u64>,
    pub p99_ns: Option<u64>,
}

impl CallSample {
    pub fn new(counts: Counts) -> Self {
        Self {
            at: Instant::now(),
            counts,
        }
    }

    /// What has come since then, the most frequent first.
    pub fn rates(&self, before: &Self) -> Vec<CallRates> {
        let seconds = (self.at - before.at).as_secs_f64();
        let since = self.counts.clone().since(&before.counts);
        let calls = since.calls.into_iter().map(|(name, count)| {
            let times = since.latency.get(&name);
            CallRates {
                calls: rate(count.calls, 0, seconds),
                errors: rate(count.errors, 0, seconds),
                p50_ns: times.map(|times| quantile(times, 50)),
                p99_ns: times.map(|times| quantile(times, 99)),
                name,
            }
        });
        let mut rates = Vec::from_iter(calls);
        rates.sort_by(|a, b| b.calls.total_cmp(&a.calls));
        rates
    }
}

#[cfg(test)]
impl Sample {
    /// Groups, each with its policy, and what it has counted; some seconds after another one.
    pub fn of(groups: &[(&str, &str, u64, u64)], seconds: u64, first: &Self) -> Self {
        let looked = groups.iter().map(|&(name, policy, calls, refused)| {
            let counters = [("entries".into(), calls), ("errno".into(), refused)];
            let who = Who::Group(Group(name.into()));
            let mut looked = Looked::new(who, None, 3, &counters);
            if !policy.is_empty() {
                looked.policy = Some(policy.into());
                looked.mode = Some("log".into());
            }
            looked
        });
        Self {
            at: first.at + std::time::Duration::from_secs(seconds),
            enabled: true,
            fastpath: "1".into(),
            groups: looked.collect(),
        }
    }
}

#[cfg(test)]
impl CallSample {
    pub fn of(counts: Counts, seconds: u64, first: &Sample) -> Self {
        let at = first.at + std::time::Duration::from_secs(seconds);
        Self { at, counts }
    }
}
