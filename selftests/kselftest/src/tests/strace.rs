// SPDX-License-Identifier: GPL-2.0

//! What strace(1) documents of its option `inject`, next to a rule that does the same.

use crate::{
    process::{self, syscall, until, Puppet, Shared},
    slowpath::{attach, detach, Policy},
};
use anyhow::{ensure, Context, Result};
use std::{
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicI64, Ordering::SeqCst},
    time::{Duration, Instant},
};

super::tests! {
    [FastPath] =>
        strace_example_chdir
        strace_error
        strace_error_by_number
        strace_default_error
        strace_retval
        strace_signal
        strace_signal_and_error
        strace_everything
        strace_poke_enter
        strace_poke_exit
        strace_syscall
        strace_when_first
        strace_when_first_and_all_later
        strace_when_first_and_step
        strace_when_first_to_last
        strace_when_first_to_last_and_step;
    [FastPath, Time] =>
        strace_delay_enter
        strace_delay_exit;
}

const CALLS: usize = 9;

/// What a child saw of its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    results: [i64; CALLS],
    signals: i64,
    /// Each call took as long at least.
    slow: bool,
    /// What the argument points to afterwards.
    path: [u8; 8],
}

static SIGNALS: AtomicI64 = AtomicI64::new(0);

extern "C" fn count(_: i32) {
    SIGNALS.fetch_add(1, SeqCst);
}

/// The results, how many signals came, whether each call was slow, and the path, as the child leaves
/// them.
type Page = Shared<[AtomicI64; CALLS + 3]>;

fn seen(page: &Page) -> Seen {
    let words: Vec<i64> = page.iter().map(|word| word.load(SeqCst)).collect();
    Seen {
        results: std::array::from_fn(|call| words[call]),
        signals: words[CALLS],
        slow: words[CALLS + 1] != 0,
        path: words[CALLS + 2].to_le_bytes(),
    }
}

const DELAY: Duration = Duration::from_millis(5);

/// A command to make a call that strace always injects into.
const PROBE: u8 = 1;
const PROBED: i64 = 4711;

/// A child that makes the calls, and leaves in `page` what it saw.
fn caller(nr: i64, page: &Page) -> Result<Puppet> {
    process::handle(libc::SIGUSR1, 0, count as *const ());
    // Mapped now, so that the child shares it.
    let page = &**page;
    Puppet::new(move |command| {
        if command == PROBE {
            return syscall(libc::SYS_sched_yield, [0; 6]);
        }
        let mut slow = true;
        let mut path = *b"/\0nowher";
        for result in &page[..CALLS] {
            let start = Instant::now();
            let ret = syscall(nr, [path.as_mut_ptr() as u64, 0, 0, 0, 0, 0]);
            slow &= start.elapsed() >= DELAY;
            result.store(ret, SeqCst);
        }
        page[CALLS].store(SIGNALS.load(SeqCst), SeqCst);
        page[CALLS + 1].store(slow.into(), SeqCst);
        page[CALLS + 2].store(i64::from_le_bytes(path), SeqCst);
        0
    })
}

/// strace on a task; ends when dropped.
struct Strace(Child);

impl Strace {
    fn of(puppet: &mut Puppet, inject: &str) -> Result<Self> {
        let strace = Command::new("strace")
            .args(["-o", "/dev/null", "-e", &format!("inject={inject}")])
            .args(["-e", &format!("inject=sched_yield:retval={PROBED}")])
            .args(["-p", &puppet.tid().to_string()])
            .stderr(Stdio::null())
            .spawn()
            .context("strace")?;
        let strace = Self(strace);
        until("traced", || Ok(puppet.call(PROBE)? == PROBED))?;
        Ok(strace)
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        // It lets its task go.
        process::kill(self.0.id() as i32, libc::SIGTERM);
        let _ = self.0.wait();
    }
}

/// The calls must look the same under strace and under the rule; returns how under the rule.
fn same(nr: i64, inject: &str, rule: &str) -> Result<Seen> {
    let page = Page::new();
    let mut puppet = caller(nr, &page)?;
    puppet.until_idle()?;
    let strace = Strace::of(&mut puppet, inject)?;
    puppet.send(0)?;
    puppet.reply()?;
    drop(strace);
    let theirs = seen(&page);
    puppet.end()?;

    let mut puppet = caller(nr, &page)?;
    let policy = Policy::new("test", rule)?;
    attach(puppet.tid())?.set("policy", "test")?;
    puppet.call(0)?;
    detach(puppet.tid())?;
    drop(policy);
    let ours = seen(&page);
    // strace's own stops may take as long as a delay.
    let alike = Seen {
        slow: theirs.slow,
        ..ours
    };
    ensure!(alike == theirs, "ours {ours:?}, strace's {theirs:?}");
    Ok(ours)
}

fn failing(seen: Seen) -> Vec<usize> {
    let results = seen.results.iter().enumerate();
    results.filter(|r| *r.1 < 0).map(|r| r.0 + 1).collect()
}

/// "To fail each third and subsequent chdir syscalls with ENOENT".
fn strace_example_chdir() -> Result<()> {
    let seen = same(
        libc::SYS_chdir,
        "chdir:error=ENOENT:when=3+",
        "chdir errno ENOENT when 3+",
    )?;
    ensure!(failing(seen) == [3, 4, 5, 6, 7, 8, 9], "{seen:?}");
    Ok(())
}

fn strace_error() -> Result<()> {
    let seen = same(
        libc::SYS_getppid,
        "getppid:error=EPERM",
        "getppid errno EPERM",
    )?;
    ensure!(seen.results == [-1; CALLS], "{seen:?}");
    Ok(())
}

fn strace_error_by_number() -> Result<()> {
    let seen = same(
        libc::SYS_getppid,
        "getppid:error=4095",
        "getppid errno 4095",
    )?;
    ensure!(seen.results == [-4095; CALLS], "{seen:?}");
    Ok(())
}

/// `fault` without an error is ENOSYS.
fn strace_default_error() -> Result<()> {
    let seen = same(
        libc::SYS_getppid,
        "getppid:error=ENOSYS",
        "getppid errno ENOSYS",
    )?;
    ensure!(seen.results == [-38; CALLS], "{seen:?}");
    Ok(())
}

fn strace_retval() -> Result<()> {
    let seen = same(libc::SYS_chdir, "chdir:retval=4711", "chdir return 4711")?;
    ensure!(seen.results == [4711; CALLS], "{seen:?}");
    Ok(())
}

fn strace_signal() -> Result<()> {
    let seen = same(
        libc::SYS_chdir,
        "chdir:signal=SIGUSR1",
        "chdir signal SIGUSR1",
    )?;
    ensure!(seen.results == [0; CALLS] && seen.signals == CALLS as i64);
    Ok(())
}

/// strace forgets the signal where there is a delay at the entry.
fn strace_everything() -> Result<()> {
    let seen = same(
        libc::SYS_getppid,
        "getppid:error=EPERM:signal=SIGUSR1:delay_exit=3ms:when=2..8+3",
        "getppid errno EPERM signal SIGUSR1 after delay 3ms when 2..8+3",
    )?;
    ensure!(failing(seen) == [2, 5, 8] && seen.signals == 3, "{seen:?}");
    let seen = same(
        libc::SYS_chdir,
        "chdir:retval=7:delay_enter=3ms:delay_exit=3ms",
        "chdir delay 3ms return 7 after delay 3ms",
    )?;
    ensure!(seen.results == [7; CALLS] && seen.slow, "{seen:?}");
    Ok(())
}

fn strace_poke_enter() -> Result<()> {
    let seen = same(
        libc::SYS_chdir,
        "chdir:poke_enter=@arg1=2f6e6f7400ff:when=4+",
        "chdir poke arg0 2f6e6f7400ff when 4+",
    )?;
    ensure!(failing(seen) == [4, 5, 6, 7, 8, 9], "{seen:?}");
    ensure!(seen.path == *b"/not\0\xffer", "{seen:?}");
    Ok(())
}

fn strace_poke_exit() -> Result<()> {
    let seen = same(
        libc::SYS_chdir,
        "chdir:retval=5:poke_exit=@arg1=414200",
        "chdir return 5 after poke arg0 414200",
    )?;
    ensure!(
        seen.results == [5; CALLS] && seen.path == *b"AB\0owher",
        "{seen:?}"
    );
    Ok(())
}

fn strace_signal_and_error() -> Result<()> {
    let seen = same(
        libc::SYS_getppid,
        "getppid:error=EINTR:signal=SIGUSR1",
        "getppid signal SIGUSR1 errno EINTR",
    )?;
    ensure!(seen.results == [-4; CALLS] && seen.signals == CALLS as i64);
    Ok(())
}

/// strace replaces the call by one without effects, to have something that fails or succeeds: what
/// the program gets is the error or the value. A rule needs no call for that.
fn strace_syscall() -> Result<()> {
    let seen = same(
        libc::SYS_chdir,
        "chdir:retval=7:syscall=getppid:when=2+",
        "chdir return 7 when 2+",
    )?;
    ensure!(seen.results == [0, 7, 7, 7, 7, 7, 7, 7, 7], "{seen:?}");
    Ok(())
}

fn strace_when_first() -> Result<()> {
    let seen = same(
        libc::SYS_getppid,
        "getppid:error=EPERM:when=4",
        "getppid errno EPERM when 4",
    )?;
    ensure!(failing(seen) == [4], "{seen:?}");
    Ok(())
}

fn strace_when_first_and_all_later() -> Result<()> {
    let seen = same(
        libc::SYS_getppid,
        "getppid:retval=9:when=7+",
        "getppid return 9 when 7+",
    )?;
    ensure!(seen.results[6..] == [9, 9, 9] && seen.results[5] != 9);
    Ok(())
}

fn strace_when_first_and_step() -> Result<()> {
    let seen = same(
        libc::SYS_getppid,
        "getppid:error=EPERM:when=2+3",
        "getppid errno EPERM when 2+3",
    )?;
    ensure!(failing(seen) == [2, 5, 8], "{seen:?}");
    Ok(())
}

fn strace_delay_enter() -> Result<()> {
    let seen = same(
        libc::SYS_getppid,
        "getppid:delay_enter=5ms",
        "getppid delay 5ms",
    )?;
    ensure!(seen.slow, "{seen:?}");
    Ok(())
}

fn strace_delay_exit() -> Result<()> {
    let seen = same(
        libc::SYS_getppid,
        "getppid:delay_exit=5ms",
        "getppid after delay 5ms",
    )?;
    ensure!(seen.slow, "{seen:?}");
    Ok(())
}

fn strace_when_first_to_last() -> Result<()> {
    let seen = same(
        libc::SYS_getppid,
        "getppid:error=EPERM:when=3..5",
        "getppid errno EPERM when 3..5",
    )?;
    ensure!(failing(seen) == [3, 4, 5], "{seen:?}");
    Ok(())
}

fn strace_when_first_to_last_and_step() -> Result<()> {
    let seen = same(
        libc::SYS_getppid,
        "getppid:retval=9:when=2..7+3",
        "getppid return 9 when 2..7+3",
    )?;
    ensure!(seen.results[1] == 9 && seen.results[4] == 9 && seen.results[7] != 9);
    Ok(())
}
