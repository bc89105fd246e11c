// SPDX-License-Identifier: GPL-2.0

//! Which path a syscall takes, and why.

use crate::{
    paths::{fast_path_is_on, fast_path_status, Path, Paths},
    process::{
        self, getppid, gettid, mount, shared, until, user_dispatch, Child, Puppet, Shared,
        UserDispatch,
    },
    slowpath::{self, attach, detach, Group},
    Skip,
};
use anyhow::{ensure, Result};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

super::tests! {
    [Mitigations, FastPath] =>
        path_status_is_a_word
        path_of_untagged_task
        path_of_disabled_attachment
        path_of_disabled_module
        path_of_all_tasks_forced
        path_of_new_child
        path_of_return_after_signal
        path_of_qualified_calls
        path_of_exit
        path_of_exit_group
        path_of_numbers_out_of_range
        path_of_user_dispatch
        path_with_rseq_debug;
    [Mitigations, FastPath, Cpus] =>
        path_of_task_tagged_while_it_runs
        path_of_return_after_tagged_while_blocked
        path_of_return_of_a_call_that_tags_its_task
        path_of_return_that_reschedules;
    [Mitigations, FastPath, X32] =>
        path_of_x32_numbers;
}

/// The counters of a child that waits for a command, before and after one.
pub(super) fn taken(puppet: &mut Puppet, command: u8) -> Result<Paths> {
    puppet.until_idle()?;
    let before = Paths::of(puppet.tid())?;
    puppet.call(command)?;
    Ok(Paths::of(puppet.tid())?.since(before))
}

pub(super) const CALLS: u64 = 1000;

fn caller() -> Result<Puppet> {
    Puppet::new(|_| (0..CALLS).map(|_| getppid()).sum())
}

pub(super) fn need_fast_path() -> Result<()> {
    if fast_path_is_on()? {
        Ok(())
    } else {
        Err(Skip("this boot has no fast path").into())
    }
}

pub(super) fn check_fast(taken: Paths) -> Result<()> {
    if fast_path_is_on()? {
        ensure!(taken.fast >= CALLS, "{taken:?}");
        ensure!(taken.in_c() == 0, "{taken:?}");
    } else {
        check_slow(taken)?;
        ensure!(taken.handled == 0, "{taken:?}");
    }
    Ok(())
}

fn check_slow(taken: Paths) -> Result<()> {
    ensure!(taken.in_c() >= CALLS, "{taken:?}");
    ensure!(taken.fast == 0, "{taken:?}");
    Ok(())
}

fn path_status_is_a_word() -> Result<()> {
    let status = fast_path_status()?;
    let command_line = std::fs::read_to_string("/proc/cmdline")?;
    let want = match command_line.contains("syscall_fastpath=off") {
        true => "parameter",
        false => "1",
    };
    // What counts the paths is built only with it.
    let may_lack_it = Paths::of(gettid()).is_err();
    ensure!(
        status == want || may_lack_it && status == "not-built",
        "{status}"
    );
    ensure!(slowpath::set("fastpath", "1").is_err(), "it can be written");
    Ok(())
}

fn path_of_untagged_task() -> Result<()> {
    check_fast(taken(&mut caller()?, 0)?)
}

/// From the first call after the write has returned.
fn path_of_task_tagged_while_it_runs() -> Result<()> {
    let step = Shared::<AtomicU32>::new();
    step.store(0, SeqCst);
    let spin_until = |value| {
        while step.load(SeqCst) != value {
            std::hint::spin_loop();
        }
    };
    for _ in 0..20 {
        step.store(0, SeqCst);
        let child = Child::fork(|| {
            step.store(1, SeqCst);
            // No syscall while it is attached.
            spin_until(2);
            for _ in 0..CALLS {
                getppid();
            }
            step.store(3, SeqCst);
            spin_until(4);
            0
        })?;
        until("spinning", || Ok(step.load(SeqCst) == 1))?;
        let task = attach(child.pid)?;
        let before = Paths::of(child.pid)?;
        step.store(2, SeqCst);
        until("called", || Ok(step.load(SeqCst) == 3))?;
        let during = Paths::of(child.pid)?.since(before);
        check_slow(during)?;
        ensure!(task.stat("entries")? == CALLS, "{}", task.stat("entries")?);
        step.store(4, SeqCst);
        child.wait_success()?;
    }
    Ok(())
}

fn path_of_disabled_attachment() -> Result<()> {
    let mut puppet = caller()?;
    let task = attach(puppet.tid())?;
    check_slow(taken(&mut puppet, 0)?)?;
    task.set("enabled", "0")?;
    check_fast(taken(&mut puppet, 0)?)?;
    task.set("enabled", "1")?;
    check_slow(taken(&mut puppet, 0)?)?;
    detach(puppet.tid())?;
    check_fast(taken(&mut puppet, 0)?)
}

fn path_of_disabled_module() -> Result<()> {
    let mut puppet = caller()?;
    attach(puppet.tid())?;
    slowpath::set("enabled", "0")?;
    check_fast(taken(&mut puppet, 0)?)?;
    slowpath::set("enabled", "1")?;
    check_slow(taken(&mut puppet, 0)?)
}

fn path_of_all_tasks_forced() -> Result<()> {
    let mut old = caller()?;
    old.until_idle()?;
    slowpath::set("force_all", "1")?;
    let mine = Paths::of(gettid())?;
    let mut new = caller()?;
    check_slow(taken(&mut old, 0)?)?;
    check_slow(taken(&mut new, 0)?)?;
    // This task, too, while it does all that.
    let mine = Paths::of(gettid())?.since(mine);
    ensure!(mine.in_c() > 0 && mine.fast == 0, "{mine:?}");
    slowpath::set("force_all", "0")?;
    check_fast(taken(&mut old, 0)?)?;
    check_fast(taken(&mut new, 0)?)
}

fn path_of_new_child() -> Result<()> {
    let group = Group::of(gettid())?;
    group.set("follow", "none")?;
    check_fast(taken(&mut caller()?, 0)?)?;
    group.set("follow", "all")?;
    let mut puppet = caller()?;
    puppet.until_idle()?;
    // It has never made a fast call: not the one that it was born in either.
    let all = Paths::of(puppet.tid())?;
    ensure!(all.fast == 0, "{all:?}");
    check_slow(taken(&mut puppet, 0)?)
}

fn path_of_return_after_tagged_while_blocked() -> Result<()> {
    need_fast_path()?;
    for (exit_path, sysret, iret) in [("auto", 1, 0), ("iret", 0, 1)] {
        let mut puppet = Puppet::new(|_| 0)?;
        puppet.until_idle()?;
        let before = Paths::of(puppet.tid())?;
        attach(puppet.tid())?.set("exit_path", exit_path)?;
        puppet.call(0)?;
        let after = Paths::of(puppet.tid())?.since(before);
        // The read returns; a write; the next read is blocked.
        ensure!(after.fast == 0 && after.in_c() == 2, "{after:?}");
        ensure!(after.slow_return == 1, "{after:?}");
        // By SYSRET, C need not decide it.
        ensure!(
            after.sysret <= 2 * sysret && after.iret == 2 * iret,
            "{after:?}"
        );
    }
    Ok(())
}

/// The handler sees the exit of the very call. Nothing else sends it to the slow path: no switch.
fn path_of_return_of_a_call_that_tags_its_task() -> Result<()> {
    let group = Group::new("test")?;
    group.set("count_exits", "1")?;
    let mut puppet = Puppet::new(|_| group.join_task(gettid()).map_or(-1, |_| 0))?;
    ensure!(puppet.call(0)? == 0, "joining");
    // It has entered a call that it sleeps in, and left one that the handler did not see entered.
    let (entries, exits) = (group.stat("entries")?, group.stat("exits")?);
    ensure!(entries == exits, "{entries} entries, {exits} exits");
    Ok(())
}

extern "C" fn ignore(_: i32) {}

fn handle(signal: i32) {
    process::handle(signal, 0, ignore as *const ());
}

fn path_of_return_after_signal() -> Result<()> {
    need_fast_path()?;
    handle(libc::SIGUSR1);
    let before = Paths::of(gettid())?;
    for _ in 0..CALLS {
        process::raise(libc::SIGUSR1);
    }
    let after = Paths::of(gettid())?.since(before);
    ensure!(after.slow_return >= CALLS, "{after:?}");
    // The handler's return.
    ensure!(after.slow_qualified >= CALLS, "{after:?}");
    Ok(())
}

/// A task of a higher class is to run first, at the return from the call that wakes it up, and not
/// only at the next tick.
fn path_of_return_that_reschedules() -> Result<()> {
    need_fast_path()?;
    const ROUNDS: u32 = 100;
    let ran = Shared::<AtomicU32>::new();
    ran.store(0, SeqCst);
    let mut puppet = Puppet::new(|_| i64::from(ran.fetch_add(1, SeqCst)))?;
    // SAFETY: All-zero is valid; both are valid for reads.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(0, &mut set);
        for task in [0, puppet.tid()] {
            libc::sched_setaffinity(task, size_of_val(&set), &set);
        }
        let param: libc::sched_param = std::mem::zeroed();
        ensure!(libc::sched_setscheduler(0, libc::SCHED_IDLE, &param) == 0);
    }
    let mut at_return = 0;
    for round in 0..ROUNDS {
        puppet.until_idle()?;
        puppet.send(0)?;
        at_return += u32::from(ran.load(SeqCst) > round);
        puppet.reply()?;
    }
    ensure!(at_return > ROUNDS / 2, "{at_return} of {ROUNDS}");
    Ok(())
}

/// Each call that a tracer or the call itself may rewrite the registers in. Some of them only fail.
fn path_of_qualified_calls() -> Result<()> {
    need_fast_path()?;
    const SYS_URETPROBE: i64 = 335;
    const SYS_UPROBE: i64 = 336;

    fn child(pid: i64) -> i64 {
        if pid == 0 {
            process::exit(0);
        }
        process::reap(pid as i32).map_or(-1, |_| 0)
    }
    let sigchld = libc::SIGCHLD as u64;
    // Their names, and how many qualified calls each makes: a handler returns by one.
    type Call = (&'static str, u64, Box<dyn Fn() -> i64>);
    let calls: [Call; 10] = [
        ("rt_sigreturn", 1, {
            handle(libc::SIGUSR1);
            Box::new(|| process::raise(libc::SIGUSR1))
        }),
        ("clone", 1, {
            let call = move || child(process::syscall(libc::SYS_clone, [sigchld, 0, 0, 0, 0, 0]));
            Box::new(call)
        }),
        ("clone3", 1, {
            // SAFETY: All-zero is valid.
            let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
            args.exit_signal = sigchld;
            Box::new(move || {
                let size = size_of_val(&args) as u64;
                let args = &raw const args as u64;
                child(process::syscall(libc::SYS_clone3, [args, size, 0, 0, 0, 0]))
            })
        }),
        (
            "fork",
            1,
            Box::new(|| child(process::syscall(libc::SYS_fork, [0; 6]))),
        ),
        (
            "vfork",
            1,
            Box::new(|| {
                let mut before = crate::registers::Registers::random(&mut 1);
                before.rax = libc::SYS_vfork as u64;
                let after = crate::registers::syscall_forking(&before, shared());
                process::reap(after.rax as i32).map_or(-1, |_| 0)
            }),
        ),
        (
            "execve",
            1,
            Box::new(|| process::syscall(libc::SYS_execve, [0; 6])),
        ),
        (
            "execveat",
            1,
            Box::new(|| process::syscall(libc::SYS_execveat, [0; 6])),
        ),
        (
            "mremap",
            1,
            Box::new(|| process::syscall(libc::SYS_mremap, [0; 6])),
        ),
        (
            "uprobe",
            1,
            Box::new(|| process::syscall(SYS_UPROBE, [0; 6])),
        ),
        ("uretprobe", 2, {
            // It kills with this whoever calls it from elsewhere than a probe.
            handle(libc::SIGILL);
            Box::new(|| process::syscall(SYS_URETPROBE, [0; 6]))
        }),
    ];
    for path in [Path::Fast, Path::Filtered] {
        path.take()?;
        for (name, qualified, call) in &calls {
            let before = Paths::of(gettid())?;
            call();
            let after = Paths::of(gettid())?.since(before);
            ensure!(
                after.slow_qualified == *qualified,
                "{path:?}: {name}: {after:?}"
            );
        }
    }
    Ok(())
}

fn check_last_call(nr: i64) -> Result<()> {
    need_fast_path()?;
    for path in [Path::Fast, Path::Filtered] {
        let mut puppet = Puppet::new(move |command| match command {
            b'p' => i64::from(path.take().is_ok()),
            _ => process::syscall(nr, [0; 6]),
        })?;
        ensure!(puppet.call(b'p')? == 1, "{path:?}");
        puppet.until_idle()?;
        let before = Paths::of(puppet.tid())?;
        puppet.send(0)?;
        puppet.child.wait_zombie()?;
        let after = Paths::of(puppet.tid())?.since(before);
        ensure!(
            after.slow_qualified == 1 && after.fast == 0,
            "{path:?}: {after:?}"
        );
    }
    Ok(())
}

fn path_of_exit() -> Result<()> {
    check_last_call(libc::SYS_exit)
}

fn path_of_exit_group() -> Result<()> {
    check_last_call(libc::SYS_exit_group)
}

fn check_numbers(numbers: &'static [i64]) -> Result<()> {
    need_fast_path()?;
    let numbers = numbers.iter().copied();
    let count = numbers.clone().count() as u64;
    let mut puppet = Puppet::new(move |command| {
        if command == b'f' {
            return i64::from(Path::Filtered.take().is_ok());
        }
        let failed = |nr: &i64| process::syscall(*nr, [0; 6]) == -i64::from(libc::ENOSYS);
        numbers.clone().filter(failed).count() as i64
    })?;
    let failed = puppet.call(0)?;
    for filtered in [false, true] {
        ensure!(!filtered || puppet.call(b'f')? == 1, "no filter");
        let taken = taken(&mut puppet, 0)?;
        ensure!(taken.slow_number == count, "{filtered}: {taken:?}");
        ensure!(taken.slow == count, "{filtered}: {taken:?}");
        ensure!(puppet.call(0)? == failed, "{filtered}: another was made");
    }
    Ok(())
}

fn path_of_numbers_out_of_range() -> Result<()> {
    check_numbers(&[
        -1,
        -2,
        i32::MIN as i64,
        i32::MAX as i64,
        473,
        474,
        511,
        512,
        547,
        1024,
        0x1_0000,
        0x8000_0000,
        0xffff_ffff,
    ])
}

fn path_of_x32_numbers() -> Result<()> {
    check_numbers(&[0x4000_006e, 0x4000_0000 + 512, 0x4fff_ffff])
}

fn path_of_user_dispatch() -> Result<()> {
    need_fast_path()?;
    let mut puppet = Puppet::new(|command| match command {
        b'd' => user_dispatch(UserDispatch::Exempt),
        _ => (0..CALLS).map(|_| getppid()).sum(),
    })?;
    check_fast(taken(&mut puppet, 0)?)?;
    puppet.send(b'd')?;
    ensure!(puppet.reply()? == 0, "prctl");
    let taken = taken(&mut puppet, 0)?;
    check_slow(taken)?;
    // C is in between, and no more.
    ensure!(taken.handled >= CALLS && taken.slow == 0, "{taken:?}");
    ensure!(taken.iret == 0, "{taken:?}");
    Ok(())
}

fn path_with_rseq_debug() -> Result<()> {
    need_fast_path()?;
    let file = "/sys/kernel/debug/rseq/debug";
    mount(c"debugfs", c"/sys/kernel/debug", file)?;
    let mut puppet = caller()?;
    slowpath::write(file, "1")?;
    let slow = taken(&mut puppet, 0);
    let word = fast_path_status();
    slowpath::write(file, "0")?;
    check_slow(slow?)?;
    ensure!(word? == "rseq-debug");
    ensure!(fast_path_status()? == "1");
    check_fast(taken(&mut puppet, 0)?)
}
