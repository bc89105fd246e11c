// SPDX-License-Identifier: GPL-2.0

//! Calls that a policy allows by their number: they take the fast path, and are counted all the
//! same.

use super::{
    paths::{check_fast, need_fast_path, taken, CALLS},
    ways::has_x32,
};
use crate::{
    paths::Paths,
    process::{
        getppid, handle, raise, syscall, until, user_dispatch, Child, Puppet, Shared, UserDispatch,
    },
    seccomp::seccomp_with,
    slowpath::{self, attach_counted, Group, Policy, Task},
    trace::Trace,
    Skip,
};
use anyhow::{ensure, Result};
use std::{
    fs,
    sync::atomic::{AtomicU32, Ordering::SeqCst},
};

super::tests! {
    [Mitigations, FastPath] =>
        passes_what_is_allowed_by_number
        passes_without_exits_being_counted
        passes_nothing_that_is_looked_at
        passes_what_seccomp_allows_too
        passes_nothing_that_is_recorded
        passes_nothing_that_returns_by_iret
        passes_nothing_that_is_forced
        passes_by_the_policy_assigned_last
        passes_are_counted_with_their_exit_work
        passes_are_counted_once_while_blocked
        passes_end_with_their_exit_work
        passes_are_traced_at_their_exit;
    [Mitigations, FastPath, Cpus] =>
        passes_by_the_rules_written_last
        passes_are_counted_on_each_cpu;
    [Mitigations, FastPath, X32] =>
        passes_no_number_of_another_architecture;
}

const EPERM: i64 = -(libc::EPERM as i64);

/// What a puppet does by itself, for each command: a call to be answered, and to wait for the next.
const OWN: u64 = 2;

fn caller() -> Result<Puppet> {
    Puppet::new(|_| (0..CALLS).map(|_| getppid()).sum())
}

fn under(puppet: &Puppet, rules: &str) -> Result<(Task, Policy)> {
    let policy = Policy::new("test", rules)?;
    let task = attach_counted(puppet.tid())?;
    task.set("policy", "test")?;
    Ok((task, policy))
}

/// Each call has a hook run.
fn check_asked(taken: Paths) -> Result<()> {
    ensure!(taken.in_c() >= CALLS && taken.fast <= OWN, "{taken:?}");
    Ok(())
}

fn exits_and_entries(task: Task) -> Result<[u64; 2]> {
    Ok([task.stat("exits")?, task.stat("entries")?])
}

fn passes_what_is_allowed_by_number() -> Result<()> {
    let mut puppet = caller()?;
    let (task, policy) = under(&puppet, "")?;
    // The second has a line of its own.
    for (rules, line, own) in [("getpgrp errno EPERM", 0, OWN), ("getppid allow", 1, 0)] {
        policy.set("rules", rules)?;
        puppet.call(0)?;
        let counts = || {
            let [exits, entries] = exits_and_entries(task)?;
            Ok::<_, anyhow::Error>([entries, exits, task.stat("allow")?, policy.hits(line)?])
        };
        let before = counts()?;
        check_fast(taken(&mut puppet, 0)?)?;
        let after = counts()?;
        let calls: Vec<_> = std::iter::zip(after, before).map(|(a, b)| a - b).collect();
        let all = CALLS + OWN;
        ensure!(calls == [all, all, all, CALLS + own], "{rules}: {calls:?}");
    }
    Ok(())
}

/// As entries alone; and they pass all the same.
fn passes_without_exits_being_counted() -> Result<()> {
    let mut puppet = caller()?;
    let (task, _policy) = under(&puppet, "getpgrp errno EPERM")?;
    for (counted, times) in [("1", 1), ("0", 0), ("1", 1)] {
        task.set("count_exits", counted)?;
        puppet.call(0)?;
        let counts = || {
            let [exits, entries] = exits_and_entries(task)?;
            Ok::<_, anyhow::Error>([entries, task.stat("allow")?, exits, task.stat("sysret")?])
        };
        let before = counts()?;
        check_fast(taken(&mut puppet, 0)?)?;
        let calls: Vec<_> = std::iter::zip(counts()?, before)
            .map(|(a, b)| a - b)
            .collect();
        let all = CALLS + OWN;
        let want = [all, all, all * times, all * times];
        ensure!(calls == want, "{counted}: {calls:?}");
    }
    Ok(())
}

fn passes_nothing_that_is_looked_at() -> Result<()> {
    need_fast_path()?;
    let mut puppet = caller()?;
    let (task, policy) = under(&puppet, "")?;
    let ppid = std::process::id() as i64;
    for (rules, result) in [
        ("getppid errno EPERM", EPERM),
        ("default errno EPERM\nwrite allow\nread allow", EPERM),
        ("getppid log", ppid),
        ("getppid arg0 == 0x123456789 errno EPERM", ppid),
        ("getppid errno EPERM when 60000", ppid),
        ("getppid set arg5 1", ppid),
        ("getppid after return 77", 77),
    ] {
        let Ok(()) = policy.set("rules", rules) else {
            anyhow::bail!("{rules}: {}", policy.get("error")?);
        };
        check_asked(taken(&mut puppet, 0)?)?;
        let sum = puppet.call(0)?;
        ensure!(sum == result * CALLS as i64, "{rules}: {sum}");
        // One that has none of it is not kept from passing.
        ensure!(policy.set("rules", "getpgrp errno EPERM").is_ok());
        check_fast(taken(&mut puppet, 0)?)?;
    }
    task.set("policy", "none")?;
    check_asked(taken(&mut puppet, 0)?)
}

/// Of a task that is under seccomp as well, both have to let it pass; and it is counted once.
fn passes_what_seccomp_allows_too() -> Result<()> {
    need_fast_path()?;
    let mut puppet = Puppet::new(|command| {
        let filter = |nr, action| i64::from(seccomp_with(nr, action, 0).unwrap_or(-1));
        match command {
            b'a' => filter(-1, libc::SECCOMP_RET_ALLOW),
            b'e' => filter(libc::SYS_getppid, libc::SECCOMP_RET_ERRNO | 77),
            b'g' => (0..CALLS).map(|_| syscall(libc::SYS_getpgrp, [0; 6])).sum(),
            _ => (0..CALLS).map(|_| getppid()).sum(),
        }
    })?;
    let (task, policy) = under(&puppet, "getpgrp errno EPERM\ngetppid allow")?;
    ensure!(puppet.call(b'a')? == 0);
    let counts = || Ok::<_, anyhow::Error>((exits_and_entries(task)?, policy.hits(2)?));
    let counted = |from: ([u64; 2], u64), to: ([u64; 2], u64)| {
        (to.0[0] - from.0[0], to.0[1] - from.0[1], to.1 - from.1)
    };
    let before = counts()?;
    check_fast(taken(&mut puppet, 0)?)?;
    let all = counted(before, counts()?);
    ensure!(all == (CALLS + OWN, CALLS + OWN, CALLS), "{all:?}");
    let asked = taken(&mut puppet, b'g')?;
    check_asked(asked)?;
    // C is in between, and no more, but where an interrupt has made work.
    ensure!(asked.sysret < CALLS / 2 && asked.iret == 0, "{asked:?}");
    ensure!(puppet.call(b'g')? == EPERM * CALLS as i64);

    ensure!(puppet.call(b'e')? == 0);
    let before = counts()?;
    check_asked(taken(&mut puppet, 0)?)?;
    let all = counted(before, counts()?);
    ensure!(all == (CALLS + OWN, CALLS + OWN, CALLS), "{all:?}");
    ensure!(puppet.call(0)? == -77 * CALLS as i64);
    Ok(())
}

fn passes_nothing_that_is_recorded() -> Result<()> {
    need_fast_path()?;
    let mut puppet = caller()?;
    let policy = Policy::new("test", "getpgrp errno EPERM")?;
    let group = Group::new("test")?;
    group.set("policy", policy.name)?;
    group.join(puppet.child.pid)?;
    for file in ["calls", "latency"] {
        check_fast(taken(&mut puppet, 0)?)?;
        group.set(file, "1")?;
        check_asked(taken(&mut puppet, 0)?)?;
        puppet.until_idle()?;
        let text = group.get(file)?;
        ensure!(text.contains("getppid"), "{file}: {text}");
        group.set(file, "0")?;
    }
    check_fast(taken(&mut puppet, 0)?)?;
    drop(puppet);
    group.end()
}

fn passes_nothing_that_returns_by_iret() -> Result<()> {
    need_fast_path()?;
    let mut puppet = caller()?;
    let (task, _policy) = under(&puppet, "getpgrp errno EPERM")?;
    task.set("exit_path", "iret")?;
    let during = taken(&mut puppet, 0)?;
    check_asked(during)?;
    ensure!(during.iret >= CALLS, "{during:?}");
    task.set("exit_path", "auto")?;
    check_fast(taken(&mut puppet, 0)?)
}

fn passes_nothing_that_is_forced() -> Result<()> {
    need_fast_path()?;
    let mut puppet = caller()?;
    let (task, _policy) = under(&puppet, "getpgrp errno EPERM")?;
    for _ in 0..2 {
        check_fast(taken(&mut puppet, 0)?)?;
        slowpath::set("force_all", "1")?;
        check_asked(taken(&mut puppet, 0)?)?;
        // Who is told what is to pass meanwhile does not forget it.
        task.set("policy", "none")?;
        task.set("policy", "test")?;
        check_asked(taken(&mut puppet, 0)?)?;
        slowpath::set("force_all", "0")?;
    }
    task.set("enabled", "0")?;
    task.set("enabled", "1")?;
    check_fast(taken(&mut puppet, 0)?)
}

/// Two policies in turn, of which each allows what the other one refuses.
fn passes_by_the_policy_assigned_last() -> Result<()> {
    let mut puppet = caller()?;
    let (task, _allows) = under(&puppet, "getpgrp errno EPERM")?;
    let _refuses = Policy::new("other", "getppid errno EPERM")?;
    for _ in 0..50 {
        let sum = puppet.call(0)?;
        ensure!(sum > 0, "refused: {sum}");
        task.set("policy", "other")?;
        let sum = puppet.call(0)?;
        ensure!(sum == EPERM * CALLS as i64, "allowed: {sum}");
        task.set("policy", "test")?;
    }
    // Or it is in use when the policies go.
    drop(puppet);
    Ok(())
}

/// From the first call after the write has returned, of tasks that make calls all the time.
fn passes_by_the_rules_written_last() -> Result<()> {
    const ROUNDS: u32 = 200;
    const TASKS: u32 = 3;
    // Twice the number of the last write; odd while one is under way. A call goes by it if it is the
    // same before and after.
    let written = Shared::<AtomicU32>::new();
    written.store(0, SeqCst);
    let checked = Shared::<AtomicU32>::new();
    checked.store(0, SeqCst);
    let failed = Shared::<AtomicU32>::new();
    failed.store(0, SeqCst);
    let policy = Policy::new("test", "getpgrp errno EPERM")?;
    let group = Group::new("test")?;
    group.set("policy", policy.name)?;
    let children = (0..TASKS).map(|_| {
        let child = Child::fork(|| {
            let mut last = u32::MAX;
            loop {
                let before = written.load(SeqCst);
                let result = getppid();
                if before % 2 == 1 || written.load(SeqCst) != before {
                    continue;
                }
                let refused = before / 2 % 2 == 1;
                if (result == EPERM) != refused {
                    failed.store(1, SeqCst);
                    return 1;
                }
                if before / 2 == ROUNDS {
                    return 0;
                }
                if last != before {
                    last = before;
                    checked.fetch_add(1, SeqCst);
                }
            }
        })?;
        group.join(child.pid)?;
        Ok(child)
    });
    let children = children.collect::<Result<Vec<_>>>()?;
    for round in 1..=ROUNDS {
        // Each has looked at the last one, or has ended because of it.
        let all = TASKS * round;
        until("looked at", || {
            Ok(failed.load(SeqCst) != 0 || checked.load(SeqCst) >= all)
        })?;
        written.store(2 * round - 1, SeqCst);
        policy.set(
            "rules",
            match round % 2 {
                1 => "getppid errno EPERM",
                _ => "getpgrp errno EPERM",
            },
        )?;
        written.store(2 * round, SeqCst);
    }
    for child in children {
        child.wait_success()?;
    }
    group.end()
}

extern "C" fn ignore(_: i32) {}

fn passes_are_counted_with_their_exit_work() -> Result<()> {
    let mut puppet = Puppet::new(|_| {
        handle(libc::SIGUSR1, 0, ignore as *const ());
        (0..CALLS).map(|_| raise(libc::SIGUSR1)).sum()
    })?;
    let (task, _policy) = under(&puppet, "getpgrp errno EPERM")?;
    ensure!(puppet.call(0)? == 0);
    puppet.until_idle()?;
    let (before, signals) = (exits_and_entries(task)?, task.stat("signal")?);
    ensure!(puppet.call(0)? == 0);
    puppet.until_idle()?;
    let after = exits_and_entries(task)?;
    let counted = [after[0] - before[0], after[1] - before[1]];
    // Each exit but the last one's was counted when the next call was entered; that of `sigreturn`
    // is none of a call that passes.
    ensure!(
        counted[0] == counted[1] && counted[1] >= 2 * CALLS,
        "{counted:?}"
    );
    let signals = task.stat("signal")? - signals;
    ensure!(signals == CALLS, "{signals}");
    Ok(())
}

/// Of a call that was let pass, the exit is counted with the entry; whatever is changed meanwhile.
fn passes_are_counted_once_while_blocked() -> Result<()> {
    need_fast_path()?;
    let mut puppet = caller()?;
    puppet.until_idle()?;
    let (task, policy) = under(&puppet, "getpgrp errno EPERM")?;
    puppet.call(0)?;
    // It was blocked when it was attached: that was an exit without an entry.
    let ahead = || {
        let [exits, entries] = exits_and_entries(task)?;
        Ok::<_, anyhow::Error>(exits as i64 - entries as i64)
    };
    ensure!(ahead()? == 1, "{}", ahead()?);
    for change in ["nothing", "iret", "rules", "policy"] {
        match change {
            "iret" => task.set("exit_path", "iret")?,
            "rules" => policy.set("rules", "read errno EPERM when 60000")?,
            "policy" => task.set("policy", "none")?,
            _ => {}
        }
        puppet.call(0)?;
        // The last one was asked about, and has not returned, if there is something to ask for.
        let want = i64::from(change == "nothing");
        ensure!(ahead()? == want, "{change}: {}", ahead()?);
        task.set("exit_path", "auto")?;
        policy.set("rules", "getpgrp errno EPERM")?;
        task.set("policy", "test")?;
        puppet.call(0)?;
    }
    Ok(())
}

/// Such a call gives its task work for the exit, and nothing else sends it to C: no switch.
fn passes_end_with_their_exit_work() -> Result<()> {
    need_fast_path()?;
    let mut puppet = Puppet::new(|_| {
        // All is allowed.
        let selector = 0u8;
        let on = || user_dispatch(UserDispatch::Selector(&selector));
        (0..CALLS)
            .map(|_| on() + user_dispatch(UserDispatch::Off))
            .sum()
    })?;
    let (task, _policy) = under(&puppet, "getpgrp errno EPERM")?;
    ensure!(puppet.call(0)? == 0, "prctl");
    let before = exits_and_entries(task)?;
    let taken = taken(&mut puppet, 0)?;
    ensure!(taken.slow_return >= CALLS, "{taken:?}");
    let after = exits_and_entries(task)?;
    let counted = [after[0] - before[0], after[1] - before[1]];
    ensure!(counted == [2 * CALLS + OWN; 2], "{counted:?}");
    Ok(())
}

/// Exit work that a task gets while it is in such a call.
fn passes_are_traced_at_their_exit() -> Result<()> {
    const EVENT: &str = "raw_syscalls/sys_exit";
    // Of no task for now. Or to read it would never end.
    let trace = Trace::of_those(EVENT, "common_pid == 0")?;
    let switch = trace.switch(EVENT);
    fs::write(&switch, "0")?;
    let mut puppet = Puppet::new(|_| fs::write(&switch, "1").map_or(-1, |()| 0))?;
    let (task, _policy) = under(&puppet, "getpgrp errno EPERM")?;
    let of_it = format!("common_pid == {}", puppet.tid());
    fs::write(switch.with_file_name("filter"), of_it)?;
    let before = task.stat("tracepoint")?;
    ensure!(puppet.call(0)? == 0, "it is not switched on");
    let exits = trace.lines_with(puppet.tid(), "sys_exit: ")?;
    let first = exits.first().map(String::as_str);
    ensure!(first == Some("NR 1 = 1"), "{exits:?}");
    // The write, close, and the reply.
    let with_work = task.stat("tracepoint")? - before;
    ensure!(with_work == 3, "{with_work}");
    Ok(())
}

fn passes_are_counted_on_each_cpu() -> Result<()> {
    const TASKS: u64 = 4;
    let policy = Policy::new("test", "getppid allow")?;
    let group = Group::new("test")?;
    group.set("policy", policy.name)?;
    let mut puppets = (0..TASKS).map(|_| caller()).collect::<Result<Vec<_>>>()?;
    for puppet in &puppets {
        group.join(puppet.child.pid)?;
    }
    for puppet in &mut puppets {
        puppet.send(0)?;
    }
    for puppet in &mut puppets {
        puppet.reply()?;
        puppet.until_idle()?;
    }
    let hits = policy.hits(1)?;
    ensure!(hits == TASKS * CALLS, "{hits} hits");
    drop(puppets);
    // What was counted is kept where a line stays.
    policy.set("rules", "getpgrp errno EPERM\ngetppid allow")?;
    let hits = policy.hits(2)?;
    ensure!(hits == TASKS * CALLS, "{hits} hits after a write");
    group.end()
}

/// An x32 call has the number of a 64-bit one, and a bit; none of the rules is for both.
fn passes_no_number_of_another_architecture() -> Result<()> {
    const X32: i64 = 0x4000_0000;
    if !has_x32()? {
        return Err(Skip("the kernel has no x32").into());
    }
    let mut puppet = Puppet::new(|_| {
        (0..CALLS)
            .map(|_| syscall(X32 | libc::SYS_getppid, [0; 6]))
            .sum()
    })?;
    let rules = "getppid arch x86_64 allow\ngetppid arch x32 errno EPERM";
    let (_task, policy) = under(&puppet, rules)?;
    let sum = puppet.call(0)?;
    ensure!(sum == EPERM * CALLS as i64, "{sum}");
    let hits = (policy.hits(1)?, policy.hits(2)?);
    ensure!(hits == (0, CALLS), "{hits:?}");
    Ok(())
}
