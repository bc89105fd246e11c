// SPDX-License-Identifier: GPL-2.0

//! Tasks and processes in groups, those of the samples.

use super::samples::Sample;
use crate::{
    process::{self, gettid, make, syscall, until, Child, Puppet},
    slowpath::{attach, detach},
};
use anyhow::{ensure, Context, Result};
use std::{fs, io};

super::tests! {
    [Cpus] =>
        group_has_all_threads
        group_follows_threads
        group_follows_children
        group_misses_no_new_thread
        group_or_none
        group_of_a_task_is_shown;
}

/// What /proc says of a task's group.
pub(super) fn group_of(pid: i32, tid: i32) -> Result<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/task/{tid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("Slowpath:\t"));
    Ok(line.context("no line")?.to_string())
}

/// How many threads of a process are in this group, and how many are not.
pub(super) fn threads_in(pid: i32, group: &str) -> Result<(usize, usize)> {
    let mut count = (0, 0);
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let tid = thread?.file_name().to_string_lossy().parse()?;
        match group_of(pid, tid) {
            Ok(name) if name == group => count.0 += 1,
            Ok(_) => count.1 += 1,
            // It has ended meanwhile.
            Err(_) => {}
        }
    }
    Ok(count)
}

pub(super) fn ensure_in(pid: i32, group: &str) -> Result<()> {
    let found = group_of(pid, pid)?;
    ensure!(found == group, "it is in {found}, and not in {group}");
    Ok(())
}

pub(super) fn wait_for_ever() -> ! {
    loop {
        process::pause();
    }
}

fn spawn_idle() -> i64 {
    let thread = std::thread::Builder::new().stack_size(16 * 1024);
    i64::from(thread.spawn(|| wait_for_ever()).is_err())
}

/// A child of the puppet's that waits.
fn fork_idle() -> i64 {
    match syscall(libc::SYS_fork, [0; 6]) {
        0 => wait_for_ever(),
        pid => pid,
    }
}

pub(super) const THREAD: u8 = 1;
pub(super) const FORK: u8 = 2;

/// A process that makes threads and children as it is told.
pub(super) fn parent() -> Result<Puppet> {
    let puppet = Puppet::new(|command| match command {
        THREAD => spawn_idle(),
        FORK => fork_idle(),
        _ => 0,
    })?;
    puppet.until_idle()?;
    Ok(puppet)
}

/// Ends with the test.
pub(super) struct Other(pub i32);

impl Drop for Other {
    fn drop(&mut self) {
        process::kill(self.0, libc::SIGKILL);
    }
}

pub(super) fn forked(puppet: &mut Puppet) -> Result<Other> {
    let pid = puppet.call(FORK)?;
    ensure!(pid > 0, "no child: {pid}");
    Ok(Other(pid as i32))
}

pub(super) fn of_process(name: &'static str, pid: i32) -> Result<Sample> {
    Sample::load(name, &format!("pid={pid}"))
}

pub(super) fn errno<T>(result: Result<T>) -> Result<i32> {
    let error = result.err().context("it has succeeded")?;
    let errno = error
        .downcast_ref::<io::Error>()
        .and_then(|e| e.raw_os_error());
    errno.with_context(|| format!("{error:#}"))
}

fn group_has_all_threads() -> Result<()> {
    let mut puppet = parent()?;
    for _ in 0..100 {
        ensure!(puppet.call(THREAD)? == 0);
    }
    let pid = puppet.tid();
    let sample = of_process("minimal", pid)?;
    let count = threads_in(pid, "slowpath_minimal")?;
    ensure!(count == (101, 0), "{count:?}");
    ensure_in(gettid(), "none")?;
    sample.unload()?;
    let count = threads_in(pid, "none")?;
    ensure!(count == (101, 0), "{count:?}");
    Ok(())
}

fn group_follows_threads() -> Result<()> {
    let mut puppet = parent()?;
    let sample = of_process("minimal", puppet.tid())?;
    ensure!(puppet.call(THREAD)? == 0);
    let count = threads_in(puppet.tid(), "slowpath_minimal")?;
    ensure!(count == (2, 0), "{count:?}");
    let child = forked(&mut puppet)?;
    ensure_in(child.0, "none")?;
    sample.unload()
}

fn group_follows_children() -> Result<()> {
    let mut puppet = parent()?;
    let sample = of_process("deny_exec", puppet.tid())?;
    ensure!(puppet.call(THREAD)? == 0);
    let count = threads_in(puppet.tid(), "slowpath_deny_exec")?;
    ensure!(count == (2, 0), "{count:?}");
    let child = forked(&mut puppet)?;
    ensure_in(child.0, "slowpath_deny_exec")?;
    sample.unload()?;
    ensure_in(child.0, "none")
}

/// Threads are born while a process joins.
fn group_misses_no_new_thread() -> Result<()> {
    const THREADS: usize = 300;

    for round in 0..process::rounds(20) as usize {
        let child = Child::fork(|| {
            for _ in 1..THREADS {
                if spawn_idle() != 0 {
                    return 1;
                }
            }
            wait_for_ever()
        })?;
        let threads =
            || -> Result<usize> { Ok(fs::read_dir(format!("/proc/{}/task", child.pid))?.count()) };
        until("threads are made", || Ok(threads()? > 5 * round))?;
        let sample = of_process("minimal", child.pid)?;
        until("all threads are made", || Ok(threads()? == THREADS))?;
        let count = threads_in(child.pid, "slowpath_minimal")?;
        ensure!(count == (THREADS, 0), "round {round}: {count:?}");
        sample.unload()?;
    }
    Ok(())
}

fn group_or_none() -> Result<()> {
    Sample::path("minimal")?;
    let mut puppet = parent()?;
    for _ in 0..10 {
        ensure!(puppet.call(THREAD)? == 0);
    }
    let pid = puppet.tid();
    let last = fs::read_dir(format!("/proc/{pid}/task"))?
        .last()
        .context("no thread")??;
    let last: i32 = last.file_name().to_string_lossy().parse()?;
    attach(last)?;
    ensure!(errno(of_process("minimal", pid))? == libc::EBUSY);
    ensure!(threads_in(pid, "none")? == (10, 1));
    let line = format!("task {last} ");
    let log = std::process::Command::new("/bin/dmesg").output()?.stdout;
    ensure!(String::from_utf8_lossy(&log).contains(&line), "not logged");
    detach(last)?;
    of_process("minimal", pid)?.unload()?;

    ensure!(errno(of_process("minimal", i32::MAX))? == libc::ESRCH);
    // The number of a thread is not that of a process.
    ensure!(errno(of_process("minimal", last))? == libc::ESRCH || last == pid);
    ensure!(errno(of_process("minimal", 2))? == libc::EPERM);
    let both = Sample::load("minimal", &format!("pid={pid} tid={pid}"));
    ensure!(errno(both)? == libc::EINVAL);
    ensure!(threads_in(pid, "none")? == (11, 0));
    Ok(())
}

fn group_of_a_task_is_shown() -> Result<()> {
    let puppet = parent()?;
    let pid = puppet.tid();
    ensure_in(pid, "none")?;
    attach(pid)?;
    ensure_in(pid, &format!("task/{pid}"))?;
    detach(pid)?;
    ensure_in(pid, "none")?;
    let sample = Sample::load("iret", &format!("tid={pid}"))?;
    ensure_in(pid, "slowpath_iret")?;
    // As others may.
    let child = Child::run(|| {
        make("setresuid", libc::SYS_setresuid, &[65534, 65534, 65534])?;
        ensure_in(pid, "slowpath_iret")
    })?;
    child.wait_success()?;
    sample.unload()
}
