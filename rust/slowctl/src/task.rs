// SPDX-License-Identifier: GPL-2.0

//! What /proc says about tasks.
//!
//! A task chooses its name, and whoever may make cgroups theirs: they are bytes.

use serde::Serialize;
use std::{
    ffi::OsStr,
    fmt, fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::Duration,
};

pub const CAP_SYS_PTRACE: u32 = 19;
pub const CAP_SYS_ADMIN: u32 = 21;

/// How often it is looked whether a task is in no group still, and how long before.
pub const LOOKS: u32 = 10;
pub const LOOK: Duration = Duration::from_millis(10);

/// The kernel keeps so many bytes of a name.
const MAX_COMM: usize = 15;

/// A task, as it was when it was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Task {
    pub tid: i32,
    pub pid: i32,
    pub name: String,
    /// The group that it is in, or "none".
    pub group: Option<String>,
    /// The seccomp mode: disabled, strict or filter.
    pub seccomp: &'static str,
    pub seccomp_filters: u32,
    pub no_new_privs: bool,
    /// Who traces it, or 0.
    pub tracer: i32,
    /// Its cgroup, from the root.
    pub cgroup: Option<String>,
}

impl Task {
    /// The task with a TID, if there is one.
    pub fn new(tid: i32) -> Option<Self> {
        let status = status_of(tid)?;
        let number = |key| value_of(&status, key).and_then(|value| value.parse::<i32>().ok());
        Some(Self {
            tid,
            pid: number("Tgid")?,
            name: value_of(&status, "Name")?.into(),
            group: value_of(&status, "Slowpath").map(String::from),
            seccomp: match number("Seccomp") {
                Some(1) => "strict",
                Some(2) => "filter",
                _ => "disabled",
            },
            seccomp_filters: number("Seccomp_filters").unwrap_or(0).unsigned_abs(),
            no_new_privs: number("NoNewPrivs") == Some(1),
            tracer: number("TracerPid").unwrap_or(0),
            cgroup: cgroup_of(tid),
        })
    }
}

/// The status file of a task, or of this one: "self".
fn status_of(task: impl fmt::Display) -> Option<String> {
    let status = fs::read(format!("/proc/{task}/status")).ok()?;
    Some(String::from_utf8_lossy(&status).into_owned())
}

/// The value of a line of a status file.
fn value_of<'a>(status: &'a str, key: &str) -> Option<&'a str> {
    let mut lines = status.lines().filter_map(|line| line.split_once(':'));
    lines.find(|line| line.0 == key).map(|line| line.1.trim())
}

fn number_of(task: impl fmt::Display, key: &str) -> Option<i32> {
    value_of(&status_of(task)?, key)?.parse().ok()
}

/// Whether a bit is set in a line of this task's status file.
fn has_bit(key: &str, bit: u32) -> bool {
    let status = status_of("self").unwrap_or_default();
    let mask = value_of(&status, key).and_then(|mask| u64::from_str_radix(mask, 16).ok());
    mask.is_some_and(|mask| mask >> bit & 1 != 0)
}

/// The cgroup of a task in the default hierarchy, from the root.
pub fn cgroup_of(tid: i32) -> Option<String> {
    Some(cgroup_path_of(tid)?.display().to_string())
}

/// The same, as it is in the file system.
pub fn cgroup_path_of(tid: i32) -> Option<PathBuf> {
    let text = fs::read(format!("/proc/{tid}/cgroup")).ok()?;
    let mut lines = text.split(|byte| *byte == b'\n');
    let path = lines.find_map(|line| line.strip_prefix(b"0::"))?;
    Some(Path::new(OsStr::from_bytes(path)).into())
}

/// The group that this task is in, or "none"; none, if the kernel knows of no groups.
pub fn own_group() -> Option<String> {
    value_of(&status_of("self")?, "Slowpath").map(String::from)
}

/// Whether this task has a capability in effect.
pub fn has_capability(capability: u32) -> bool {
    has_bit("CapEff", capability)
}

/// Whether this task ignores a signal, as who has started it may have wanted.
pub fn ignores(signal: i32) -> bool {
    let bit = u32::try_from(signal - 1);
    bit.is_ok_and(|bit| has_bit("SigIgn", bit))
}

/// The PIDs of a task's process, and of those that it descends from, up to the first one.
pub fn ancestry(task: impl fmt::Display) -> Vec<i32> {
    let mut pids = Vec::new();
    let mut next = number_of(task, "Tgid");
    while let Some(pid) = next.filter(|pid| *pid > 0 && !pids.contains(pid)) {
        pids.push(pid);
        next = number_of(pid, "PPid");
    }
    pids
}

/// This process, those that it descends from, and the first one of all: whoever filters one of them
/// may not be able to take that back.
pub fn needed() -> Vec<i32> {
    let mut pids = ancestry("self");
    pids.push(1);
    pids.sort_unstable();
    pids.dedup();
    pids
}

/// The numbers that folders of /proc are called by.
fn numbers_in(folder: &str) -> Vec<i32> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let number = |entry: fs::DirEntry| entry.file_name().to_str()?.parse().ok();
    let mut numbers: Vec<i32> = entries.flatten().filter_map(number).collect();
    numbers.sort_unstable();
    numbers
}

/// Whether a task is called this, as far as the kernel keeps it.
pub fn is_called(tid: i32, name: &str) -> bool {
    let name = name.as_bytes();
    let name = name.get(..MAX_COMM).unwrap_or(name);
    comm_of(tid).is_some_and(|comm| comm == name)
}

/// The PIDs of the processes of this name, but for this one.
pub fn processes_named(name: &str) -> Vec<i32> {
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let mut pids = numbers_in("/proc");
    pids.retain(|pid| *pid != own && is_called(*pid, name));
    pids
}

/// The TIDs of a process's threads.
pub fn threads_of(pid: i32) -> Vec<i32> {
    numbers_in(&format!("/proc/{pid}/task"))
}

fn comm_of(tid: i32) -> Option<Vec<u8>> {
    let mut name = fs::read(format!("/proc/{tid}/comm")).ok()?;
    // The newline behind it: one that is part of it stays.
    name.pop();
    Some(name)
}

/// The name of a task.
pub fn comm(tid: i32) -> Option<String> {
    Some(String::from_utf8_lossy(&comm_of(tid)?).into_owned())
}

/// Whether a task makes no calls any more, or never: it exits, or is the kernel's own. Such tasks
/// are in no group.
pub fn makes_no_calls(tid: i32) -> bool {
    const EXITING: u32 = 0x4;
    const IO_WORKER: u32 = 0x10;
    const USER_WORKER: u32 = 0x4000;
    const KTHREAD: u32 = 0x20_0000;

    let Ok(stat) = fs::read(format!("/proc/{tid}/stat")) else {
        return true;
    };
    // The name is in brackets, and may have some itself.
    let end = stat.iter().rposition(|byte| *byte == b')').unwrap_or(0);
    let fields = String::from_utf8_lossy(&stat[end..]).into_owned();
    let flags = fields
        .split(' ')
        .nth(7)
        .and_then(|flags| flags.parse().ok());
    flags.is_some_and(|flags: u32| flags & (EXITING | IO_WORKER | USER_WORKER | KTHREAD) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bytes() {
        // What a name is not to hide: the lines below it.
        let status =
            String::from_utf8_lossy(b"Name:\t\xff:\x1b\nTgid:\t7\nSlowpath:\tg\n").into_owned();
        assert_eq!(value_of(&status, "Tgid"), Some("7"));
        assert_eq!(value_of(&status, "Slowpath"), Some("g"));
    }

    #[test]
    fn this_process() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert_eq!(ancestry("self")[0], own);
        assert_eq!(ancestry(own), ancestry("self"));
        assert!(needed().contains(&1) && needed().contains(&own));
        assert!(!makes_no_calls(own));
        assert!(threads_of(own).len() > 1 || threads_of(own) == [own]);
        assert!(is_called(own, &comm(own).unwrap()));
    }

    #[test]
    fn what_is_gone_makes_no_calls() {
        assert!(makes_no_calls(i32::MAX));
        assert!(Task::new(i32::MAX).is_none());
    }
}
