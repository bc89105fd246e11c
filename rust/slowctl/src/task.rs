// SPDX-License-Identifier: GPL-2.0

//! What /proc says about tasks.

use procfs::process::{all_processes, Process};
use serde::Serialize;
use std::fs;

pub const CAP_SYS_PTRACE: u32 = 19;
pub const CAP_SYS_ADMIN: u32 = 21;

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
        let status = fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
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

/// The value of a line of a status file.
fn value_of<'a>(status: &'a str, key: &str) -> Option<&'a str> {
    let mut lines = status.lines().filter_map(|line| line.split_once(':'));
    lines.find(|line| line.0 == key).map(|line| line.1.trim())
}

/// The cgroup of a task in the default hierarchy, from the root.
pub fn cgroup_of(tid: i32) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{tid}/cgroup")).ok()?;
    let mut lines = text.lines();
    lines.find_map(|line| line.strip_prefix("0::").map(String::from))
}

/// The group that this task is in, or "none"; none, if the kernel knows of no groups.
pub fn own_group() -> Option<String> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    value_of(&status, "Slowpath").map(String::from)
}

/// Whether this task has a capability in effect.
pub fn has_capability(capability: u32) -> bool {
    let status = Process::myself().and_then(|me| me.status());
    status.is_ok_and(|status| status.capeff >> capability & 1 != 0)
}

/// This process, those that it descends from, and the first one of all: whoever filters one of them
/// may not be able to take that back.
pub fn needed() -> Vec<i32> {
    let mut pids = vec![1];
    let mut next = Process::myself();
    while let Ok(process) = next {
        pids.push(process.pid());
        next = match process.stat() {
            Ok(stat) if stat.ppid > 0 => Process::new(stat.ppid),
            _ => break,
        };
    }
    pids.sort_unstable();
    pids.dedup();
    pids
}

/// The PIDs of the processes of this name, but for this one.
pub fn processes_named(name: &str) -> Vec<i32> {
    // The kernel keeps 15 bytes of it.
    let name = name.get(..15).unwrap_or(name);
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let Ok(processes) = all_processes() else {
        return Vec::new();
    };
    let mut pids: Vec<i32> = processes
        .flatten()
        .filter(|process| process.pid() != own && comm(process.pid()).as_deref() == Some(name))
        .map(|process| process.pid())
        .collect();
    pids.sort_unstable();
    pids
}

/// The TIDs of a process's threads.
pub fn threads_of(pid: i32) -> Vec<i32> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    let tid = |entry: fs::DirEntry| entry.file_name().to_str()?.parse().ok();
    entries.flatten().filter_map(tid).collect()
}

/// The name of a task.
pub fn comm(tid: i32) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{tid}/comm")).ok()?;
    Some(text.trim_end_matches('\n').into())
}
