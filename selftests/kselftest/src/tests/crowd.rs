// SPDX-License-Identifier: GPL-2.0

//! The tasks that a storm goes over.

use crate::{
    process::{self, getppid, pause, syscall, Child},
    tracee::Tracee,
};
use anyhow::{ensure, Result};
use std::{fs, process::Command, thread, time::Duration};

/// What changes the calls of the tasks below, each in a way that they know.
pub(super) const RULES: &[&str] = &[
    "getpriority return 5 when 2+2",
    "sched_get_priority_max errno EPERM when 3+3",
    "clock_nanosleep delay 1ms when 5+5",
    "getuid after return 7",
    "getgid set arg0 3",
    "geteuid redirect getegid",
    "sched_getscheduler delay 1us signal SIGWINCH errno EINTR after delay 1us",
    // Of no effect, but that fork has a call to put back in two tasks.
    "clone set arg5 1",
];

/// Makes calls, each of which has its result, or the policy's.
pub(super) fn make_calls() -> Result<()> {
    for (nr, results) in [
        (libc::SYS_getpriority, [20, 5]),
        (libc::SYS_sched_get_priority_max, [0, EPERM]),
        (libc::SYS_getuid, [0, 7]),
        (libc::SYS_getgid, [0, 0]),
        (libc::SYS_geteuid, [0, 0]),
        (libc::SYS_sched_getscheduler, [0, EINTR]),
    ] {
        let result = syscall(nr, [0; 6]);
        ensure!(results.contains(&result), "call {nr} returns {result}");
    }
    Ok(())
}

pub(super) const EPERM: i64 = -(libc::EPERM as i64);
const EINTR: i64 = -(libc::EINTR as i64);

pub(super) fn process_group() -> i32 {
    syscall(libc::SYS_getpgrp, [0; 6]) as i32
}

pub(super) fn fork_one(child: impl FnOnce() -> Result<()>) -> Result<()> {
    Child::run(child)?.wait_success()
}

fn dump_core() -> i32 {
    let limit = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: `limit` is valid.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &limit) };
    // The test's allocator and its locks are not needed any more.
    process::raise(libc::SIGABRT);
    0
}

/// Steps a child from syscall to syscall.
fn trace() -> Result<()> {
    let child = Child::fork(|| loop {
        getppid();
    })?;
    let tracee = Tracee::seize(child, libc::PTRACE_O_EXITKILL)?;
    // The first stop may be another one, of a signal.
    tracee.request(libc::PTRACE_INTERRUPT, 0)?;
    tracee.wait()?;
    loop {
        tracee.request(libc::PTRACE_SYSCALL, 0)?;
        tracee.wait()?;
    }
}

/// Endless work that takes tasks through one state after another.
const WORK: &[fn() -> Result<()>] = &[
    make_calls,
    make_calls,
    || {
        thread::sleep(Duration::from_micros(100));
        Ok(())
    },
    || {
        pause();
        Ok(())
    },
    || fork_one(|| Ok(())),
    || fork_one(make_calls),
    || {
        let status = Child::fork(dump_core)?.wait()?;
        ensure!(status == 256 + libc::SIGABRT, "it ended with {status}");
        Ok(())
    },
    || {
        // Of no effect if a policy is in the way of starting it.
        let _ = Command::new("/bin/true").status();
        Ok(())
    },
    || thread::spawn(make_calls).join().unwrap_or(Ok(())),
    trace,
];

/// The tasks that a storm goes over: one process for each kind of work, and all that they start.
pub(super) struct Crowd {
    children: Vec<Child>,
    core_pattern: String,
}

const CORE_PATTERN: &str = "/proc/sys/kernel/core_pattern";

impl Crowd {
    pub(super) fn new() -> Result<Self> {
        let core_pattern = fs::read_to_string(CORE_PATTERN)?;
        let core = std::env::temp_dir().join("storm-core");
        fs::write(CORE_PATTERN, core.display().to_string())?;
        let children = WORK.iter().map(|work| {
            Child::run(|| loop {
                work()?;
            })
        });
        Ok(Self {
            children: children.collect::<Result<_>>()?,
            core_pattern,
        })
    }

    /// Checks that all are there still, as no result was wrong; and ends them.
    pub(super) fn end(self) -> Result<()> {
        for (i, child) in self.children.iter().enumerate() {
            let mut status = 0;
            // SAFETY: The kernel writes one `int`, to `status`, which is borrowed until it returns.
            let pid = unsafe { libc::waitpid(child.pid, &mut status, libc::WNOHANG) };
            ensure!(pid == 0, "the task of kind {i} has ended: {status:#x}");
        }
        Ok(())
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        let _ = fs::write(CORE_PATTERN, &self.core_pattern);
    }
}

/// The processes of a group, but its leader.
pub(super) fn members(group: i32) -> Result<Vec<i32>> {
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Ok(pid) = entry?.file_name().to_string_lossy().parse::<i32>() else {
            continue;
        };
        let of_pid = syscall(libc::SYS_getpgid, [pid as u64, 0, 0, 0, 0, 0]);
        if pid != group && of_pid == group.into() {
            pids.push(pid);
        }
    }
    Ok(pids)
}

/// The tasks of a process group, but its leader and those that are spared.
pub(super) fn victims(group: i32, spared: &[i32]) -> Result<Vec<i32>> {
    let mut tids = Vec::new();
    for pid in members(group)? {
        if spared.contains(&pid) {
            continue;
        }
        // It may be gone by now.
        let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
            continue;
        };
        for thread in threads.flatten() {
            tids.extend(thread.file_name().to_string_lossy().parse::<i32>());
        }
    }
    ensure!(!tids.is_empty(), "nobody is left");
    Ok(tids)
}
