// SPDX-License-Identifier: GPL-2.0

//! What is not refused calls in passing: PID 1, this command, and what it descends from. If these
//! cannot make calls, nobody can take that back.

use crate::{
    error::{Error, Kind, Result},
    module::{self, Group, Policy},
    target::Target,
    task::{self, Task},
};

/// For commands that may refuse calls of somebody.
#[derive(clap::Args, Clone, Copy, Debug, Default)]
pub struct ForceArgs {
    /// Even if it is PID 1, this command, or what it descends from
    #[arg(long)]
    pub force: bool,
}

fn error(what: String) -> Error {
    Error::new(Kind::Guarded, what)
        .help("if it cannot make calls any more, neither can you: --force does it")
}

fn in_words(pid: i32) -> String {
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    match pid {
        1 => "PID 1".into(),
        pid if pid == own => "this command itself".into(),
        pid => format!("process {pid}, from which this command was started"),
    }
}

/// The threads of those that are needed, with their PIDs.
fn needed_threads() -> impl Iterator<Item = (i32, i32)> {
    let needed = task::needed().into_iter();
    needed.flat_map(|pid| task::threads_of(pid).into_iter().map(move |tid| (pid, tid)))
}

/// Whoever is needed must not be one of these, or in it.
pub fn targets(targets: &[Target]) -> Result<()> {
    for target in targets {
        // A thread is of its process, whichever it is.
        let is_in = |(pid, tid): &(i32, i32)| match target {
            Target::Process(held) => held.id == *pid,
            Target::Thread(held) => held.id == *tid,
            Target::Cgroup(cgroup) => cgroup.contains(*tid),
        };
        if let Some((pid, tid)) = needed_threads().find(is_in) {
            let who = in_words(pid);
            return Err(error(match target {
                Target::Cgroup(_) => format!("{target} has {who} in it"),
                Target::Thread(_) if pid != tid => format!("{target} is of {who}"),
                _ => format!("{target} is {who}"),
            }));
        }
    }
    Ok(())
}

/// Whoever is needed must not be in a group that `is_meant` is true of.
fn groups(is_meant: impl Fn(&Group) -> bool) -> Result<()> {
    for (pid, tid) in needed_threads() {
        let group = Task::new(tid).and_then(|task| task.group);
        let group = group.filter(|group| group != module::NONE).map(Group);
        if let Some(group) = group.filter(&is_meant) {
            let who = in_words(pid);
            return Err(error(format!(
                "the group {} is also that of {who}",
                group.0
            )));
        }
    }
    Ok(())
}

pub fn group(group: &Group) -> Result<()> {
    groups(|other| other == group)
}

/// Whoever is needed must not be under this policy.
pub fn policy(policy: &Policy) -> Result<()> {
    groups(|group| {
        group
            .policy()
            .is_ok_and(|other| other.as_ref() == Some(policy))
    })
}

/// The same, of one that is enforced: another does nothing yet.
pub fn enforced_policy(enforced: &Policy) -> Result<()> {
    if enforced.get("mode")? == "log" {
        return Ok(());
    }
    policy(enforced)
}
