// SPDX-License-Identifier: GPL-2.0

//! Each verdict, on each door.

use super::{policy::under, preserve};
use crate::{
    process::{
        self, getppid, gettid, syscall, until_blocked, until_delayed, Child, Door, Puppet, Shared,
        Zeroed, DOORS, DUP, GETPID, GETPPID,
    },
    registers::{self, Registers},
    seccomp::seccomp,
    slowpath::{self, attach, detach, set, Group, Policy, Task},
};
use anyhow::{ensure, Context, Result};
use std::{
    ptr::null_mut,
    sync::atomic::{AtomicI64, AtomicU64, Ordering::SeqCst},
    thread,
    time::{Duration, Instant},
};

super::tests! {
    [FastPath] =>
        verdict_log
        verdict_return
        verdict_errno
        verdict_signal
        verdict_signal_with_error_never_restarts
        verdict_signal_when_blocked
        verdict_signal_kills
        verdict_trap_is_that_of_seccomp
        verdict_trap_can_be_emulated
        verdict_trap_without_handler
        verdict_kill_process
        verdict_kill_cannot_be_survived
        verdict_redirect
        verdict_redirect_to_fork
        verdict_redirect_is_seen_by_seccomp
        verdict_set_argument
        verdict_changes_end_with_the_call
        verdict_changes_of_a_call_of_detached_task
        verdict_after_return
        verdict_after_errno
        verdict_mode_log_enforces_none;
    [FastPath, Cpus] =>
        verdict_kill_thread
        verdict_kill_last_thread;
    [FastPath, Time] =>
        verdict_delay
        verdict_delay_outlasts_signals;
    [FastPath, Cpus, Time] =>
        verdict_delay_ends_with_death
        verdict_delay_ends_with_its_rules;
}

const EINTR: i64 = -(libc::EINTR as i64);

fn verdict_log() -> Result<()> {
    let pid = i64::from(gettid());
    let (task, policy) = under("getpid log")?;
    for door in DOORS {
        ensure!(door.call(GETPID, [0; 3]) == pid);
    }
    ensure!(policy.hits(1)? == 2 && task.stat("log")? == 2);
    Ok(())
}

fn verdict_return() -> Result<()> {
    let (task, _policy) = under("getpid return 4242\ngetppid return -77")?;
    for door in DOORS {
        ensure!(door.call(GETPID, [0; 3]) == 4242);
        ensure!(door.call(GETPPID, [0; 3]) == -77);
    }
    ensure!(task.stat("return")? == 4);
    Ok(())
}

/// The lowest descriptor that is free.
fn free_fd() -> i64 {
    let fd = syscall(libc::SYS_dup, [0; 6]);
    syscall(libc::SYS_close, [fd as u64, 0, 0, 0, 0, 0]);
    fd
}

fn verdict_errno() -> Result<()> {
    let free = free_fd();
    let (task, policy) = under("dup errno ENFILE")?;
    for door in DOORS {
        ensure!(door.call(DUP, [0; 3]) == -i64::from(libc::ENFILE));
    }
    ensure!(task.stat("errno")? == 2);
    policy.set("rules", "\n")?;
    ensure!(free_fd() == free, "the call was made");
    Ok(())
}

/// How often the handlers below ran, and with what.
pub(super) struct Seen {
    pub(super) count: AtomicU64,
    /// `siginfo_t`, in words.
    pub(super) info: [AtomicU64; 16],
    gregs: [AtomicI64; 23],
}

const _: () = assert!(size_of::<libc::siginfo_t>() == 16 * 8);

// SAFETY: As its parts.
unsafe impl Zeroed for Seen {}

pub(super) static SEEN: Shared<Seen> = Shared::new();

pub(super) fn count() -> u64 {
    SEEN.count.load(SeqCst)
}

/// Where a handler finds that it is to set a result.
static EMULATE: AtomicU64 = AtomicU64::new(0);

extern "C" fn record(_: i32, info: *mut [u64; 16], context: *mut libc::ucontext_t) {
    // SAFETY: The kernel's, valid until the handler returns; any bytes are valid words.
    let (info, gregs) = unsafe { (&*info, &mut (*context).uc_mcontext.gregs) };
    for (to, from) in SEEN.info.iter().zip(info) {
        to.store(*from, SeqCst);
    }
    for (to, from) in SEEN.gregs.iter().zip(&*gregs) {
        to.store(*from, SeqCst);
    }
    if EMULATE.load(SeqCst) != 0 {
        gregs[libc::REG_RAX as usize] = EMULATE.load(SeqCst) as i64;
    }
    SEEN.count.fetch_add(1, SeqCst);
}

/// Has a signal noted in [`SEEN`], by this process and its children.
pub(super) fn handle(signal: i32, flags: i32) {
    // Mapped now, so that children share it.
    let _ = &*SEEN;
    process::handle(signal, libc::SA_SIGINFO | flags, record as *const ());
}

fn verdict_signal() -> Result<()> {
    handle(libc::SIGUSR1, 0);
    let free = free_fd();
    let (task, policy) = under("dup signal SIGUSR1")?;
    for (i, door) in DOORS.into_iter().enumerate() {
        let fd = door.call(DUP, [0; 3]);
        ensure!(fd == free + i as i64, "the call returned {fd}");
        ensure!(count() == i as u64 + 1, "delivered {} times", count());
        // The signal's number, its error, its code.
        let info = [0, 1].map(|word: usize| SEEN.info[word].load(SeqCst));
        ensure!(info == [libc::SIGUSR1 as u64, libc::SI_KERNEL as u64]);
    }
    ensure!(task.stat("signal_sent")? == 2);
    policy.set("rules", "\n")?;
    ensure!(free_fd() == free + 2, "the calls were not made");
    Ok(())
}

/// With an error, there is no call that might be made again.
fn verdict_signal_with_error_never_restarts() -> Result<()> {
    handle(libc::SIGUSR1, libc::SA_RESTART);
    let (_, policy) = under("getpid signal SIGUSR1 errno EINTR")?;
    for door in DOORS {
        ensure!(door.call(GETPID, [0; 3]) == EINTR);
    }
    ensure!(policy.hits(1)? == 2 && count() == 2);
    Ok(())
}

fn verdict_signal_when_blocked() -> Result<()> {
    handle(libc::SIGUSR1, 0);
    let _under = under("getpid signal SIGUSR1")?;
    // SAFETY: All-zero is valid; only masks and unmasks.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigaddset(&mut set, libc::SIGUSR1);
        libc::sigprocmask(libc::SIG_BLOCK, &set, null_mut());
        let pid = i64::from(gettid());
        ensure!(syscall(libc::SYS_getpid, [0; 6]) == pid && count() == 0);
        libc::sigprocmask(libc::SIG_UNBLOCK, &set, null_mut());
    }
    ensure!(count() == 1);
    Ok(())
}

fn verdict_signal_kills() -> Result<()> {
    for door in DOORS {
        let mut puppet = Puppet::new(move |_| door.call(GETPID, [0; 3]))?;
        let _policy = Policy::new("test", "getpid signal SIGKILL")?;
        attach(puppet.tid())?.set("policy", "test")?;
        puppet.send(0)?;
        ensure!(puppet.end()? == 256 + libc::SIGKILL);
    }
    Ok(())
}

/// What a trap showed to a handler in a child: the signal's information word by word, and, of
/// SYSCALL, the registers but for the stack's. The same function in the same place for all.
fn trapped(door: Door, prepare: impl Fn() -> Result<()>) -> Result<(Vec<u64>, Vec<i64>)> {
    handle(libc::SIGSYS, 0);
    let before = count();
    let child = Child::run(|| {
        prepare()?;
        match door {
            Door::Syscall => {
                let mut call = Registers::random(&mut 1);
                call.rax = libc::SYS_getppid as u64;
                registers::syscall(&call);
            }
            Door::Int80 => {
                door.call(GETPPID, [11, 22, 33]);
            }
        }
        Ok(())
    })?;
    child.wait_success()?;
    ensure!(count() == before + 1, "not delivered");
    let info = SEEN.info.iter().map(|word| word.load(SeqCst)).collect();
    let mut gregs: Vec<i64> = SEEN.gregs.iter().map(|reg| reg.load(SeqCst)).collect();
    gregs[libc::REG_RSP as usize] = 0;
    if door == Door::Int80 {
        gregs.clear();
    }
    Ok((info, gregs))
}

fn verdict_trap_is_that_of_seccomp() -> Result<()> {
    let _policy = Policy::new("test", "getppid trap 77")?;
    for door in DOORS {
        let ours = trapped(door, || attach(gettid())?.set("policy", "test"))?;
        let theirs = trapped(door, || {
            seccomp(GETPPID[door as usize], libc::SECCOMP_RET_TRAP | 77)
        })?;
        ensure!(
            ours == theirs,
            "{door:?}: ours {ours:x?}, seccomp's {theirs:x?}"
        );
        ensure!(ours.0[0] >> 32 == 77, "{:#x}", ours.0[0]);
    }
    Ok(())
}

fn verdict_trap_can_be_emulated() -> Result<()> {
    handle(libc::SIGSYS, 0);
    let (task, _policy) = under("getppid trap")?;
    EMULATE.store(4711, SeqCst);
    for door in DOORS {
        ensure!(door.call(GETPPID, [0; 3]) == 4711);
    }
    ensure!(task.stat("trap")? == 2);
    Ok(())
}

fn verdict_trap_without_handler() -> Result<()> {
    let _policy = Policy::new("test", "getppid trap")?;
    for door in DOORS {
        let child = Child::run(|| {
            attach(gettid())?.set("policy", "test")?;
            door.call(GETPPID, [0; 3]);
            Ok(())
        })?;
        ensure!(child.wait()? == 256 + libc::SIGSYS);
    }
    Ok(())
}

/// How a process ends whose second of two threads makes a call that kills by what `prepare` sets
/// up for the calling thread: what `waitpid` says of it.
fn killed(prepare: impl Fn() -> Result<()> + Sync, second: bool) -> Result<i32> {
    Child::run(|| {
        let call = || {
            prepare()?;
            getppid();
            Ok(())
        };
        if !second {
            return call();
        }
        let tid = AtomicU64::new(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                tid.store(gettid() as u64, SeqCst);
                call()
            });
            // A thread that is killed does not tell the library, which would wait for ever.
            while tid.load(SeqCst) == 0 {
                thread::yield_now();
            }
            let path = format!("/proc/self/task/{tid:?}");
            while std::path::Path::new(&path).exists() {
                thread::yield_now();
            }
            process::exit(5)
        })
    })?
    .wait_raw()
}

fn check_kill(rule: &str, action: u32, second: bool) -> Result<()> {
    let _policy = Policy::new("test", rule)?;
    let ours = killed(|| attach(gettid())?.set("policy", "test"), second)?;
    let theirs = killed(|| seccomp(libc::SYS_getppid, action), second)?;
    ensure!(ours == theirs, "{ours:#x}, by seccomp {theirs:#x}");
    let want = if action == libc::SECCOMP_RET_KILL_THREAD && second {
        5 << 8
    } else {
        libc::SIGSYS
    };
    ensure!(ours & !0x80 == want, "{ours:#x}");
    Ok(())
}

fn verdict_kill_process() -> Result<()> {
    for second in [false, true] {
        check_kill(
            "getppid kill_process",
            libc::SECCOMP_RET_KILL_PROCESS,
            second,
        )?;
    }
    Ok(())
}

fn verdict_kill_thread() -> Result<()> {
    check_kill("getppid kill_thread", libc::SECCOMP_RET_KILL_THREAD, true)
}

fn verdict_kill_last_thread() -> Result<()> {
    check_kill("getppid kill_thread", libc::SECCOMP_RET_KILL_THREAD, false)
}

/// A handler that runs before the deadly signal is delivered, and whose mask blocks that for good.
extern "C" fn survive(_: i32) {
    // It must not get beyond its first call.
    let pid = syscall(libc::SYS_getpid, [0; 6]);
    process::kill(pid as i32, libc::SIGKILL);
    process::exit(9)
}

fn verdict_kill_cannot_be_survived() -> Result<()> {
    for verdict in ["kill_process", "kill_thread"] {
        let _policy = Policy::new("test", &format!("getppid {verdict}"))?;
        let child = Child::run(|| {
            attach(gettid())?.set("policy", "test")?;
            // SAFETY: All-zero is valid; the signal is for this thread.
            unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = survive as *const () as usize;
                libc::sigaddset(&mut action.sa_mask, libc::SIGSYS);
                libc::sigaction(libc::SIGSEGV, &action, null_mut());
                let mut set: libc::sigset_t = std::mem::zeroed();
                libc::sigaddset(&mut set, libc::SIGSEGV);
                libc::sigprocmask(libc::SIG_BLOCK, &set, null_mut());
                // As a fault would send it, and so before others.
                let mut info: libc::siginfo_t = std::mem::zeroed();
                info.si_signo = libc::SIGSEGV;
                info.si_code = 1;
                let (pid, tid) = (libc::getpid(), gettid());
                let sent =
                    libc::syscall(libc::SYS_rt_tgsigqueueinfo, pid, tid, libc::SIGSEGV, &info);
                ensure!(sent == 0, "rt_tgsigqueueinfo");
            }
            getppid();
            Ok(())
        })?;
        let status = child.wait()?;
        ensure!(status == 256 + libc::SIGSYS, "{verdict}: {status}");
    }
    Ok(())
}

fn verdict_delay() -> Result<()> {
    let ppid = getppid();
    let (task, _policy) = under("getppid delay 20ms")?;
    for door in DOORS {
        let start = Instant::now();
        ensure!(door.call(GETPPID, [0; 3]) == ppid);
        ensure!(start.elapsed() >= Duration::from_millis(20));
    }
    ensure!(task.stat("delay")? == 2 && task.stat("delay_ns")? >= 40_000_000);
    Ok(())
}

/// A child that makes a call which takes an hour to begin.
fn delayed() -> Result<(Puppet, Policy)> {
    handle(libc::SIGUSR1, 0);
    let mut puppet = Puppet::new(|_| i64::from(getppid() > 0) + 10 * count() as i64)?;
    let policy = Policy::new("test", "getppid delay 3600s")?;
    attach(puppet.tid())?.set("policy", "test")?;
    puppet.send(0)?;
    until_delayed(puppet.tid(), libc::SYS_getppid)?;
    Ok((puppet, policy))
}

/// A program with a timer waits as long as another.
fn verdict_delay_outlasts_signals() -> Result<()> {
    handle(libc::SIGALRM, 0);
    let (task, _policy) = under("getppid delay 100ms")?;
    let start = Instant::now();
    let every = libc::timeval {
        tv_sec: 0,
        tv_usec: 10_000,
    };
    let mut timer = libc::itimerval {
        it_interval: every,
        it_value: every,
    };
    // SAFETY: The value is valid.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut()) };
    let result = getppid();
    timer.it_value.tv_usec = 0;
    // SAFETY: As above.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut()) };
    let elapsed = start.elapsed();
    ensure!(elapsed >= Duration::from_millis(100), "it took {elapsed:?}");
    ensure!(
        result > 0 && count() > 0,
        "not made, or the signal was lost"
    );
    let counted = task.stat("delay_ns")?;
    ensure!(
        (100_000_000..=elapsed.as_nanos() as u64).contains(&counted),
        "{counted} ns of {elapsed:?}"
    );
    Ok(())
}

/// A wrong one can be undone.
fn verdict_delay_ends_with_its_rules() -> Result<()> {
    type End = fn(Task, &Policy) -> Result<()>;
    let ends: [(&str, End); 7] = [
        ("rules", |_, policy| {
            policy.set("rules", "getppid delay 3601s")
        }),
        ("mode", |_, policy| policy.set("mode", "log")),
        ("policy", |task, _| task.set("policy", "none")),
        ("enabled", |task, _| task.set("enabled", "0")),
        ("all enabled", |_, _| Ok(set("enabled", "0")?)),
        ("detach", |task, _| detach(task.tid)),
        ("detach all", |_, _| Ok(set("detach", "all")?)),
    ];
    for (what, end) in ends {
        let (mut puppet, policy) = delayed()?;
        let task = Task { tid: puppet.tid() };
        end(task, &policy).context(what)?;
        let result = puppet
            .reply()
            .with_context(|| format!("{what}: it goes on"))?;
        ensure!(result == 1, "{what}: not made");
        if task.exists() {
            let counted = task.stat("delay_ns")?;
            ensure!(
                counted > 0 && counted < 3_000_000_000_000,
                "{what}: {counted} ns"
            );
        }
        slowpath::reset()?;
    }
    Ok(())
}

fn verdict_delay_ends_with_death() -> Result<()> {
    let (puppet, _policy) = delayed()?;
    puppet.child.kill(libc::SIGKILL);
    ensure!(puppet.end()? == 256 + libc::SIGKILL);
    Ok(())
}

fn verdict_redirect() -> Result<()> {
    let ppid = getppid();
    let (task, _policy) = under("getpid redirect getppid")?;
    for door in DOORS {
        ensure!(door.call(GETPID, [0; 3]) == ppid);
    }
    ensure!(task.stat("redirect")? == 2);
    preserve::check(libc::SYS_getpid, ppid, 2000)
}

/// A call that the fast path leaves to C, and whose child returns with a copy of the registers.
fn verdict_redirect_to_fork() -> Result<()> {
    let policy = Policy::new("test", "getpid redirect fork")?;
    for follow in ["none", "all"] {
        let mut puppet = Puppet::new(|_| {
            let pid = syscall(libc::SYS_getpid, [1, 2, 3, 4, 5, 6]);
            if pid == 0 {
                process::exit(7)
            }
            i64::from(crate::process::reap(pid as i32).unwrap_or(-1))
        })?;
        let group = Group::of(puppet.tid())?;
        group.set("follow", follow)?;
        group.set("policy", "test")?;
        ensure!(puppet.call(0)? == 7);
        group.end()?;
    }
    drop(policy);
    Ok(())
}

fn verdict_redirect_is_seen_by_seccomp() -> Result<()> {
    let _under = under("getpid redirect getppid")?;
    seccomp(libc::SYS_getppid, libc::SECCOMP_RET_ERRNO | 77)?;
    ensure!(syscall(libc::SYS_getpid, [0; 6]) == -77);
    Ok(())
}

fn verdict_set_argument() -> Result<()> {
    let fd = free_fd();
    let (task, policy) = under("dup arg0 == 1000 set arg0 0")?;
    for door in DOORS {
        ensure!(door.call(DUP, [1000, 0, 0]) == fd);
        syscall(libc::SYS_close, [fd as u64, 0, 0, 0, 0, 0]);
        ensure!(door.call(DUP, [1001, 0, 0]) == -i64::from(libc::EBADF));
    }
    ensure!(task.stat("set")? == 2);
    // A call that fails whatever the other arguments are.
    policy
        .set("rules", "fsync set arg0 -1")
        .err()
        .ok_or(anyhow::anyhow!("a negative argument was taken"))?;
    policy.set(
        "rules",
        "fsync set arg0 999999\ngetpid set arg5 0xffffffffffffffff",
    )?;
    preserve::check(libc::SYS_fsync, -i64::from(libc::EBADF), 2000)?;
    preserve::check(libc::SYS_getpid, i64::from(gettid()), 2000)
}

/// What one call was changed by is not there for the next.
fn verdict_changes_end_with_the_call() -> Result<()> {
    let pid = i64::from(gettid());
    let (_, policy) = under("getpid redirect getppid\ngettid set arg0 1\ngetppid after return 9")?;
    for _ in 0..100 {
        ensure!(syscall(libc::SYS_getpid, [0; 6]) != pid);
        ensure!(syscall(libc::SYS_gettid, [0; 6]) == pid);
        ensure!(getppid() == 9);
        ensure!(syscall(libc::SYS_sched_yield, [0; 6]) == 0);
    }
    policy.set("rules", "\n")?;
    ensure!(syscall(libc::SYS_getpid, [0; 6]) == pid && getppid() != 9);
    Ok(())
}

/// A child that pauses in a call which it makes with random registers, under a rule that changes it;
/// it replies with 1 if it finds them as they were when a signal has woken it up.
pub(super) fn paused_with_registers(nr: i64, rule: &str) -> Result<(Puppet, Task, Policy)> {
    let mut puppet = Puppet::new(move |_| {
        let result = preserve::check(nr, EINTR, 1);
        i64::from(result.inspect_err(|e| eprintln!("{e:#}")).is_ok())
    })?;
    let policy = Policy::new("test", rule)?;
    let task = attach(puppet.tid())?;
    task.set("policy", "test")?;
    puppet.send(0)?;
    until_blocked(puppet.tid(), libc::SYS_pause)?;
    Ok((puppet, task, policy))
}

/// User space relies on its registers, whoever made the call another.
fn verdict_changes_of_a_call_of_detached_task() -> Result<()> {
    handle(libc::SIGUSR1, 0);
    for off in ["detach", "policy", "enabled"] {
        let (mut puppet, task, _policy) =
            paused_with_registers(libc::SYS_pause, "pause set arg1 4711")?;
        match off {
            "detach" => detach(puppet.tid())?,
            "policy" => task.set("policy", "none")?,
            _ => task.set("enabled", "0")?,
        }
        puppet.child.kill(libc::SIGUSR1);
        ensure!(puppet.reply()? == 1, "{off}");
        puppet.end()?;
    }
    Ok(())
}

fn verdict_after_return() -> Result<()> {
    let fd = free_fd();
    let (task, policy) = under("dup after return 4242")?;
    for door in DOORS {
        ensure!(door.call(DUP, [0; 3]) == 4242);
    }
    ensure!(task.stat("after")? == 2);
    policy.set("rules", "\n")?;
    ensure!(free_fd() == fd + 2, "the calls were not made");
    Ok(())
}

fn verdict_after_errno() -> Result<()> {
    let fd = free_fd();
    let (_, policy) = under("dup after errno EXDEV when 2")?;
    for door in DOORS {
        let want = if door == DOORS[0] {
            fd
        } else {
            -i64::from(libc::EXDEV)
        };
        ensure!(door.call(DUP, [0; 3]) == want);
    }
    policy.set("rules", "\n")?;
    ensure!(free_fd() == fd + 2, "the calls were not made");
    Ok(())
}

fn verdict_mode_log_enforces_none() -> Result<()> {
    let pid = i64::from(gettid());
    let (_, policy) = under("")?;
    policy.set("mode", "log")?;
    for verdict in [
        "errno EPERM",
        "return 1",
        "delay 3600s",
        "signal SIGKILL",
        "trap",
        "kill_thread",
        "kill_process",
        "redirect getppid",
        "after errno EPERM",
    ] {
        policy.set("rules", &format!("getpid {verdict}"))?;
        for door in DOORS {
            ensure!(door.call(GETPID, [0; 3]) == pid, "{verdict}");
        }
        ensure!(policy.hits(1)? == 2, "{verdict}");
    }
    policy.set("rules", "dup set arg0 0")?;
    for door in DOORS {
        let ret = door.call(DUP, [999_999, 0, 0]);
        ensure!(ret == -i64::from(libc::EBADF), "{ret}");
    }
    Ok(())
}
