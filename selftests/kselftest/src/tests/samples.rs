// SPDX-License-Identifier: GPL-2.0

//! The sample handlers, each loaded for a task and seen at work.

use super::probes::Probe;
use crate::{
    paths::Paths,
    process::{getppid, gettid, syscall, until, Child, Puppet, Shared},
    slowpath::{attach, detach, insmod, module, rmmod, set, tasks},
    trace::Trace,
    Skip,
};
use anyhow::{ensure, Context, Result};
use std::{
    arch::global_asm,
    fs, io,
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering::SeqCst},
};

super::tests! {
    [FastPath] =>
        sample_minimal
        sample_latency
        sample_audit_open
        sample_deny_exec
        sample_flaky
        sample_flaky_spares_probes
        sample_iret;
    [] =>
        sample_needs_a_task;
    [FastPath, Cpus] =>
        sample_unload_lets_tasks_go
        attached_to_another_handler;
}

const ALL: [&str; 6] = [
    "minimal",
    "latency",
    "audit_open",
    "deny_exec",
    "flaky",
    "iret",
];

/// A sample that is loaded; unloaded when dropped.
pub struct Sample {
    name: &'static str,
}

impl Sample {
    /// Distributions' kernels have none.
    pub fn path(name: &str) -> Result<PathBuf> {
        let path = module()?.replace("slowpath.ko", &format!("slowpath_{name}.ko"));
        let path = PathBuf::from(path);
        if !path.exists() {
            return Err(Skip("the kernel was built without samples").into());
        }
        Ok(path)
    }

    pub fn load(name: &'static str, parameters: &str) -> Result<Self> {
        insmod(Self::path(name)?, parameters)?;
        Ok(Self { name })
    }

    pub fn unload(self) -> Result<()> {
        let name = format!("slowpath_{}", self.name);
        std::mem::forget(self);
        rmmod(&name).context(name)
    }
}

impl Drop for Sample {
    fn drop(&mut self) {
        let _ = Self { name: self.name }.unload();
    }
}

/// The last line in the kernel's log that has this.
fn logged(what: &str) -> Result<Option<String>> {
    let log = std::process::Command::new("/bin/dmesg").output()?.stdout;
    let log = String::from_utf8_lossy(&log).into_owned();
    Ok(log
        .lines()
        .rfind(|line| line.contains(what))
        .map(Into::into))
}

/// Counts the calls of a task until it ends.
fn sample_minimal() -> Result<()> {
    let mut puppet = Puppet::new(|calls| (0..1000 * i64::from(calls)).map(|_| getppid()).sum())?;
    let sample = Sample::load("minimal", &format!("tid={}", puppet.tid()))?;
    puppet.call(5)?;
    let line = format!("slowpath_minimal: task {} made ", puppet.tid());
    puppet.end()?;
    until("counted", || Ok(logged(&line)?.is_some()))?;
    let text = logged(&line)?.context("no line")?;
    let calls: u64 = text.split(' ').rev().nth(1).context("no number")?.parse()?;
    ensure!((5001..5100).contains(&calls), "{calls} calls");
    sample.unload()
}

/// The buckets of a call: how many took less than 2^N nanoseconds, but not less than half of that.
fn buckets(nr: i64) -> Result<Vec<(u32, u64)>> {
    let text = fs::read_to_string("/sys/kernel/debug/slowpath_latency/histogram")?;
    let mut lines = text
        .lines()
        .map(|line| line.split_whitespace().map(str::parse::<u64>));
    let line = lines.find_map(|mut words| match words.next() {
        Some(Ok(number)) if number == nr as u64 => Some(words.collect::<Result<Vec<u64>, _>>()),
        _ => None,
    });
    let counts = line.unwrap_or(Ok(Vec::new()))?;
    Ok((0..).zip(counts).filter(|(_, count)| *count > 0).collect())
}

fn sample_latency() -> Result<()> {
    crate::process::mount(c"debugfs", c"/sys/kernel/debug", "/sys/kernel/debug/bdi")?;
    let mut puppet = Puppet::new(|what| {
        let wait = [0u64, 20_000_000];
        match what {
            0 => (0..1000).map(|_| getppid()).sum(),
            _ => syscall(libc::SYS_nanosleep, [wait.as_ptr() as u64, 0, 0, 0, 0, 0]),
        }
    })?;
    let sample = Sample::load("latency", &format!("tid={}", puppet.tid()))?;
    puppet.call(0)?;
    puppet.call(1)?;
    let calls: u64 = buckets(libc::SYS_getppid)?
        .iter()
        .map(|(_, count)| count)
        .sum();
    ensure!(calls == 1000, "{calls} calls");
    let slept = buckets(libc::SYS_nanosleep)?;
    // It took 20 ms at least.
    ensure!(
        slept.len() == 1 && slept[0].1 == 1 && slept[0].0 >= 25,
        "{slept:?}"
    );
    ensure!(buckets(libc::SYS_reboot)?.is_empty());
    sample.unload()?;
    ensure!(
        !fs::exists("/sys/kernel/debug/slowpath_latency")?,
        "its file is left"
    );
    puppet.end()?;
    Ok(())
}

fn sample_audit_open() -> Result<()> {
    let mut puppet = Puppet::new(|what| {
        let path = [c"/dev/null", c"/no/such/file", c"/etc/passwd"][usize::from(what)].as_ptr();
        let path = path as u64;
        match what {
            2 => syscall(libc::SYS_open, [path, 0, 0, 0, 0, 0]),
            _ => syscall(libc::SYS_openat, [libc::AT_FDCWD as u64, path, 0, 0, 0, 0]),
        }
    })?;
    let trace = Trace::of("syscall_slowpath/syscall_slowpath_note")?;
    let sample = Sample::load("audit_open", &format!("tid={}", puppet.tid()))?;
    ensure!(puppet.call(0)? > 0 && puppet.call(2)? > 0);
    ensure!(puppet.call(1)? == -i64::from(libc::ENOENT));
    let lines = trace.lines_of(puppet.tid())?;
    for (line, end) in lines.iter().zip([
        "nr=257 /dev/null",
        "nr=2 /etc/passwd",
        "nr=257 /no/such/file",
    ]) {
        ensure!(line.ends_with(end), "{line}");
    }
    ensure!(lines.len() == 3, "{lines:?}");
    sample.unload()?;
    puppet.end()?;
    Ok(())
}

fn sample_deny_exec() -> Result<()> {
    // Forks, so that the puppet stays.
    let mut puppet = Puppet::new(|what| {
        let programs = [
            c"/bin/true",
            c"/usr/bin/true",
            c"/usr/../bin/true",
            c"./true",
        ];
        let path = programs[usize::from(what)].as_ptr() as u64;
        let argv = [path, 0];
        let child = Child::fork(|| {
            let ret = syscall(libc::SYS_execve, [path, argv.as_ptr() as u64, 0, 0, 0, 0]);
            -ret as i32
        });
        child.and_then(Child::wait).map_or(-1, i64::from)
    })?;
    ensure!(puppet.call(0)? == 0, "there is no /bin/true");
    let sample = Sample::load("deny_exec", &format!("tid={}", puppet.tid()))?;
    for (what, status) in [
        (0, libc::EACCES),
        (1, 0),
        (2, libc::EACCES),
        (3, libc::EACCES),
    ] {
        let ret = puppet.call(what)?;
        ensure!(ret == i64::from(status), "program {what}: {ret}");
    }
    sample.unload()?;
    ensure!(puppet.call(0)? == 0, "refused still");
    puppet.end()?;
    Ok(())
}

/// What the child below is to do, how often it did, and which of its calls failed.
static FLAKY: Shared<[AtomicU64; 3]> = Shared::new();

/// It makes no other calls: those could fail, too.
fn sample_flaky() -> Result<()> {
    let [go, done, failed] = &*FLAKY;
    let calls = |round| -> Result<u64> {
        go.store(round, SeqCst);
        until("done", || Ok(done.load(SeqCst) == round))?;
        Ok(failed.load(SeqCst))
    };
    let mut first = Vec::new();
    for _ in 0..2 {
        go.store(0, SeqCst);
        let child = Child::fork(|| loop {
            let round = go.load(SeqCst);
            if round != done.load(SeqCst) {
                let bits = (0..60).map(|i| u64::from(getppid() < 0) << i);
                failed.store(bits.sum(), SeqCst);
                done.store(round, SeqCst);
            }
        })?;
        ensure!(calls(1)? == 0);
        let sample = Sample::load("flaky", &format!("tid={} every=7 seed=3", child.pid))?;
        let failures = calls(2)?;
        first.push(failures.trailing_zeros());
        let want = (failures.trailing_zeros()..60).step_by(7);
        ensure!(failures == want.map(|i| 1 << i).sum(), "{failures:b}");
        sample.unload()?;
        ensure!(calls(3)? == 0, "failing still");
    }
    ensure!(first == [4, 4], "the seed does not tell: {first:?}");
    // Not one in none.
    let error = Sample::load("flaky", &format!("tid={} every=0", gettid()));
    let error = error.err().context("it was loaded")?;
    let errno = error.downcast_ref().and_then(io::Error::raw_os_error);
    ensure!(errno == Some(libc::EINVAL), "{error:#}");
    Ok(())
}

extern "C" {
    fn probed();
}

// The kernel replaces the first instruction by a call of its own, which makes a `uprobe`.
global_asm!(
    ".globl probed",
    "probed:",
    ".byte 0x0f, 0x1f, 0x44, 0x00, 0x00",
    "ret",
    options(att_syntax),
);

/// The kernel's own calls, where a program is probed: without them it would be gone, and the handler need
/// not know.
fn sample_flaky_spares_probes() -> Result<()> {
    const CALLS: u64 = 100;

    let [go, done, failed] = &*FLAKY;
    go.store(0, SeqCst);
    done.store(0, SeqCst);
    let child = Child::fork(|| {
        while go.load(SeqCst) == 0 {
            std::hint::spin_loop();
        }
        for _ in 0..CALLS {
            // SAFETY: Does nothing.
            unsafe { probed() };
        }
        failed.store(u64::from(getppid() < 0), SeqCst);
        done.store(1, SeqCst);
        loop {
            std::hint::spin_loop();
        }
    })?;
    let probe = Probe::on_return("return", probed as *const () as usize)?;
    let before = probe.hits()?;
    let sample = Sample::load("flaky", &format!("tid={} every=1", child.pid))?;
    go.store(1, SeqCst);
    until("it has returned", || Ok(done.load(SeqCst) == 1))?;
    ensure!(failed.load(SeqCst) == 1, "its own call was made");
    let hits = probe.hits()? - before;
    ensure!(hits == CALLS, "{hits} hits");
    sample.unload()
}

fn sample_iret() -> Result<()> {
    let mut puppet = Puppet::new(|_| (0..100).map(|_| getppid()).sum())?;
    let sample = Sample::load("iret", &format!("tid={}", puppet.tid()))?;
    // The first return is that of the call that it was attached in.
    puppet.call(0)?;
    let before = Paths::of(puppet.tid())?;
    puppet.call(0)?;
    let taken = Paths::of(puppet.tid())?.since(before);
    ensure!(taken.iret >= 100 && taken.sysret == 0, "{taken:?}");
    sample.unload()?;
    puppet.end()?;
    Ok(())
}

/// Without a task, or with one that is not there, nothing is loaded.
fn sample_needs_a_task() -> Result<()> {
    Sample::path("minimal")?;
    let gone = Child::fork(|| 0)?;
    let tid = gone.pid;
    gone.wait()?;
    for name in ALL {
        for parameters in [String::new(), format!("tid={tid}"), "tid=-1".into()] {
            let error = Sample::load(name, &parameters)
                .err()
                .context("it was loaded")?;
            let errno = error
                .downcast_ref::<io::Error>()
                .and_then(io::Error::raw_os_error);
            ensure!(errno == Some(libc::ESRCH), "{name} {parameters}: {error:#}");
        }
    }
    Ok(())
}

fn sample_unload_lets_tasks_go() -> Result<()> {
    for name in ALL {
        // It sleeps in a call.
        let mut puppet = Puppet::new(|_| getppid())?;
        puppet.until_idle()?;
        let sample = Sample::load(name, &format!("tid={}", puppet.tid()))?;
        sample.unload()?;
        ensure!(puppet.call(0)? > 0);
        attach(puppet.tid())?;
        detach(puppet.tid())?;
        puppet.end()?;
    }
    Ok(())
}

/// A task that another handler has is not ours.
fn attached_to_another_handler() -> Result<()> {
    let puppet = Puppet::new(|_| 0)?;
    let sample = Sample::load("minimal", &format!("tid={}", puppet.tid()))?;
    for (file, errno) in [("attach", libc::EBUSY), ("detach", libc::ESRCH)] {
        let error = set(file, puppet.tid().to_string())
            .err()
            .context("it worked")?;
        ensure!(error.raw_os_error() == Some(errno), "{file}: {error}");
    }
    ensure!(tasks()?.is_empty());
    sample.unload()?;
    attach(puppet.tid())?;
    ensure!(tasks()? == [puppet.tid()]);
    detach(puppet.tid())
}
