// SPDX-License-Identifier: GPL-2.0

//! What groups record of their calls, and what the kernel log has of those that are logged.

use super::{
    groups::{forked, parent},
    ways::has_x32,
};
use crate::{
    process::{getppid, handle, syscall, until, until_blocked, Door, Puppet, GETPPID},
    slowpath::{set, Group, Policy},
};
use anyhow::{ensure, Context, Result};
use std::{collections::HashMap, fs, io::Write, process::Command};

super::tests! {
    [] =>
        record_of_calls
        record_of_refused_calls
        record_of_numbers_without_a_name
        record_of_x32_calls
        record_of_interrupted_calls
        record_ends_and_begins_anew
        record_of_latency
        record_of_latency_of_children
        record_forgets_calls_of_before
        record_forgets_calls_that_nobody_saw_return
        record_is_switched_by_each_write
        log_has_names_and_arguments
        log_says_how_many_are_missing;
    [CompatEntry] =>
        record_of_32_bit_calls;
}

/// The numbers behind the architecture and the name.
fn calls(group: &Group) -> Result<HashMap<String, (u64, u64)>> {
    let text = group.get("calls")?;
    let lines = text.lines().map(|line| {
        let words: Vec<_> = line.split(' ').collect();
        let [arch, name, entries, failures] = words[..] else {
            anyhow::bail!("{line}");
        };
        let numbers = (entries.parse()?, failures.parse()?);
        Ok((format!("{arch} {name}"), numbers))
    });
    lines.collect()
}

fn calls_of(group: &Group, name: &str) -> Result<(u64, u64)> {
    Ok(calls(group)?.get(name).copied().unwrap_or_default())
}

/// The times of a call, with how many calls took them.
fn latency(group: &Group, name: &str) -> Result<Option<Vec<(u64, u64)>>> {
    let text = group.get("latency")?;
    ensure!(!text.contains("missed"), "{text}");
    let mut lines = text.lines();
    let Some(times) = lines.find_map(|line| line.strip_prefix(&format!("{name} "))) else {
        return Ok(None);
    };
    let time = |word: &str| {
        let (time, count) = word.split_once(':').context("no colon")?;
        Ok((time.parse()?, count.parse()?))
    };
    times.split(' ').map(time).collect::<Result<_>>().map(Some)
}

fn caller() -> Result<Puppet> {
    let puppet = Puppet::new(|nr| syscall(nr.into(), [u64::MAX, 0, 0, 0, 0, 0]))?;
    puppet.until_idle()?;
    Ok(puppet)
}

fn record_of_calls() -> Result<()> {
    let mut puppet = caller()?;
    let group = Group::new("test")?;
    group.join(puppet.tid())?;
    group.set("calls", "1")?;
    for _ in 0..7 {
        puppet.call(libc::SYS_getppid as u8)?;
        puppet.call(libc::SYS_close as u8)?;
    }
    let seen = calls(&group)?;
    ensure!(seen["x86_64 getppid"] == (7, 0), "{seen:?}");
    ensure!(seen["x86_64 close"] == (7, 7), "{seen:?}");
    ensure!(seen["x86_64 write"] == (14, 0), "{seen:?}");
    // Entered, and it has not returned.
    ensure!(seen["x86_64 read"] == (14, 0), "{seen:?}");
    ensure!(seen.len() == 4, "{seen:?}");
    // What it shows is what the counters of verdicts do.
    let entries: u64 = seen.values().map(|(entries, _)| entries).sum();
    ensure!(entries == group.stat("entries")?);
    group.end()
}

fn record_of_refused_calls() -> Result<()> {
    let _policy = Policy::new(
        "test",
        "getppid errno EPERM\ngetuid return 5\ngetgid after errno EIO",
    )?;
    let mut puppet = caller()?;
    let group = Group::new("test")?;
    group.set("policy", "test")?;
    group.set("calls", "1")?;
    group.join(puppet.tid())?;
    for nr in [libc::SYS_getppid, libc::SYS_getuid, libc::SYS_getgid] {
        puppet.call(nr as u8)?;
    }
    ensure!(calls_of(&group, "x86_64 getppid")? == (1, 1));
    ensure!(calls_of(&group, "x86_64 getuid")? == (1, 0));
    ensure!(calls_of(&group, "x86_64 getgid")? == (1, 1));
    group.end()
}

fn record_of_numbers_without_a_name() -> Result<()> {
    const NUMBERS: [i64; 6] = [511, 559, 560, 100_000, -7, i32::MIN as i64];

    let mut puppet = Puppet::new(|at| syscall(NUMBERS[usize::from(at)], [0; 6]))?;
    let group = Group::new("test")?;
    group.set("calls", "1")?;
    group.join(puppet.tid())?;
    for at in 0..NUMBERS.len() {
        ensure!(puppet.call(at as u8)? == -i64::from(libc::ENOSYS));
    }
    for (name, want) in [("511", 1), ("559", 1), ("others", 4)] {
        let seen = calls_of(&group, &format!("x86_64 {name}"))?;
        ensure!(seen == (want, want), "{name}: {seen:?}");
    }
    group.end()
}

/// Three calls of one kind, which have this name.
fn check_other_calls(name: &str, mut call: impl FnMut() -> i64) -> Result<()> {
    let mut puppet = Puppet::new(move |_| call())?;
    let group = Group::new("test")?;
    group.set("calls", "1")?;
    group.set("latency", "1")?;
    group.join(puppet.tid())?;
    for _ in 0..3 {
        ensure!(puppet.call(0)? > 0);
    }
    ensure!(calls_of(&group, name)? == (3, 0), "{}", group.get("calls")?);
    let times = latency(&group, name)?.context("no times")?;
    ensure!(
        times.iter().map(|time| time.1).sum::<u64>() == 3,
        "{times:?}"
    );
    ensure!(calls_of(&group, "x86_64 getppid")? == (0, 0));
    group.end()
}

fn record_of_32_bit_calls() -> Result<()> {
    check_other_calls("i386 getppid", || Door::Int80.call(GETPPID, [0; 3]))
}

fn record_of_x32_calls() -> Result<()> {
    const X32: i64 = 1 << 30;

    if !has_x32()? {
        return Err(crate::Skip("this boot has no x32").into());
    }
    check_other_calls("x32 getppid", || syscall(X32 | libc::SYS_getppid, [0; 6]))
}

extern "C" fn ignore(_: i32) {}

/// What sigreturn leaves in the register of the result is not its own.
fn record_of_interrupted_calls() -> Result<()> {
    handle(libc::SIGUSR1, 0, ignore as *const ());
    let mut puppet = Puppet::new(|_| syscall(libc::SYS_pause, [0; 6]))?;
    let group = Group::new("test")?;
    group.set("calls", "1")?;
    group.join(puppet.tid())?;
    puppet.send(0)?;
    until_blocked(puppet.tid(), libc::SYS_pause)?;
    puppet.child.kill(libc::SIGUSR1);
    ensure!(puppet.reply()? == -i64::from(libc::EINTR));
    let seen = calls(&group)?;
    ensure!(seen["x86_64 pause"] == (1, 1), "{seen:?}");
    ensure!(seen["x86_64 rt_sigreturn"] == (1, 0), "{seen:?}");
    ensure!(!seen.contains_key("x86_64 others"), "{seen:?}");
    group.end()
}

fn record_ends_and_begins_anew() -> Result<()> {
    let mut puppet = caller()?;
    let group = Group::new("test")?;
    group.join(puppet.tid())?;
    let getppid = libc::SYS_getppid as u8;
    for (file, other) in [("calls", "latency"), ("latency", "calls")] {
        group.set(file, "1")?;
        puppet.call(getppid)?;
        ensure!(group.get(file)?.contains("x86_64 getppid "));
        ensure!(group.get(other)? == "off", "{other} is on");
        // Again is nothing new, and the other one is another matter.
        group.set(file, "1")?;
        group.set(other, "1")?;
        ensure!(
            group.get(file)?.contains("x86_64 getppid "),
            "{file} is lost"
        );
        ensure!(group.get(other)?.is_empty(), "{other} has counted before");
        group.set(other, "0")?;
        ensure!(group.get(other)? == "off");
        ensure!(
            group.get(file)?.contains("x86_64 getppid "),
            "{file} is lost"
        );
        group.set(file, "0")?;
        ensure!(group.get(file)? == "off");
        group.set(file, "1")?;
        ensure!(group.get(file)?.is_empty(), "{file} is not new");
        group.set(file, "0")?;
    }
    // With another policy the counts go on.
    group.set("calls", "1")?;
    puppet.call(getppid)?;
    let _policy = Policy::new("test", "getppid log")?;
    group.set("policy", "test")?;
    puppet.call(getppid)?;
    group.set("policy", "none")?;
    puppet.call(getppid)?;
    ensure!(calls_of(&group, "x86_64 getppid")? == (3, 0));
    group.end()
}

fn record_of_latency() -> Result<()> {
    // Not longer than is said, but so long.
    let _policy = Policy::new("test", "getppid delay 10ms\ngetuid log")?;
    let mut puppet = caller()?;
    let group = Group::new("test")?;
    group.set("policy", "test")?;
    group.set("latency", "1")?;
    group.join(puppet.tid())?;
    for _ in 0..3 {
        puppet.call(libc::SYS_getppid as u8)?;
        puppet.call(libc::SYS_getuid as u8)?;
        puppet.call(libc::SYS_getgid as u8)?;
    }
    for (call, least) in [("getppid", 1 << 23), ("getuid", 1), ("getgid", 1)] {
        let times = latency(&group, &format!("x86_64 {call}"))?;
        let times = times.with_context(|| format!("no {call}"))?;
        let count: u64 = times.iter().map(|(_, count)| count).sum();
        ensure!(count == 3, "{call}: {times:?}");
        ensure!(
            times.iter().all(|(time, _)| time.is_power_of_two()),
            "{times:?}"
        );
        ensure!(
            times.iter().all(|(time, _)| *time >= least),
            "{call}: {times:?}"
        );
        ensure!(times.is_sorted(), "{times:?}");
    }
    group.end()
}

/// The first return of a child is not that of a call of its own.
fn record_of_latency_of_children() -> Result<()> {
    let mut puppet = parent()?;
    let group = Group::new("test")?;
    group.set("calls", "1")?;
    group.set("latency", "1")?;
    group.join(puppet.tid())?;
    let _child = forked(&mut puppet)?;
    let seen = calls(&group)?;
    let name = ["x86_64 clone", "x86_64 fork", "x86_64 clone3"]
        .into_iter()
        .find(|name| seen.contains_key(*name))
        .with_context(|| format!("{seen:?}"))?;
    ensure!(seen[name] == (1, 0), "{seen:?}");
    let times = latency(&group, name)?.context("no times")?;
    ensure!(times.len() == 1 && times[0].1 == 1, "{times:?}");
    group.end()
}

/// A call that was entered while something else was recorded, or nothing.
fn record_forgets_calls_of_before() -> Result<()> {
    let mut puppet = caller()?;
    let group = Group::new("test")?;
    group.join(puppet.tid())?;
    group.set("latency", "1")?;
    // It blocks in a read that is remembered.
    puppet.call(libc::SYS_getppid as u8)?;
    group.set("latency", "0")?;
    group.set("latency", "1")?;
    puppet.call(libc::SYS_getppid as u8)?;
    let read = latency(&group, "x86_64 read")?;
    ensure!(read.is_none(), "{read:?}");
    ensure!(latency(&group, "x86_64 getppid")?.is_some());
    group.end()
}

/// The task was not steered, or not in the group, when the call that is remembered returned.
fn record_forgets_calls_that_nobody_saw_return() -> Result<()> {
    let group = Group::new("test")?;
    group.set("latency", "1")?;
    for how in ["enabled", "module", "left"] {
        let mut puppet = caller()?;
        let read = || -> Result<u64> {
            let times = latency(&group, "x86_64 read")?.unwrap_or_default();
            Ok(times.iter().map(|(_, count)| count).sum())
        };
        group.join(puppet.tid())?;
        puppet.call(libc::SYS_getppid as u8)?;
        let before = read()?;
        let switch = |on: bool| match how {
            "enabled" => group.set("enabled", if on { "1" } else { "0" }),
            "module" => Ok(set("enabled", if on { "1" } else { "0" })?),
            _ if on => group.join(puppet.tid()),
            _ => group.leave(puppet.tid()),
        };
        switch(false)?;
        switch(true)?;
        // The read that it blocks in was entered before.
        puppet.send(libc::SYS_getppid as u8)?;
        puppet.reply()?;
        puppet.until_idle()?;
        ensure!(read()? == before, "{how}: {} and not {before}", read()?);
    }
    group.end()
}

fn record_is_switched_by_each_write() -> Result<()> {
    let group = Group::new("test")?;
    for file in ["calls", "latency"] {
        let mut open = fs::OpenOptions::new().write(true).open(group.path(file))?;
        for (switch, shown) in [("1", ""), ("0", "off"), ("1", ""), ("0", "off")] {
            open.write_all(format!("{switch}\n").as_bytes())?;
            ensure!(group.get(file)? == shown, "{file} after {switch}");
        }
    }
    group.end()
}

fn log() -> Result<String> {
    let log = Command::new("/bin/dmesg").output()?.stdout;
    Ok(String::from_utf8_lossy(&log).into_owned())
}

/// One that cannot be taken for another line.
const COMM: &[u8; 16] = b"a\nb\x1bc d\x7fefghi\0\0\0";

fn log_has_names_and_arguments() -> Result<()> {
    let _policy = Policy::new("test", "getppid log")?;
    let mut puppet = Puppet::new(|_| {
        let name = COMM.as_ptr() as u64;
        syscall(
            libc::SYS_prctl,
            [libc::PR_SET_NAME as u64, name, 0, 0, 0, 0],
        );
        syscall(libc::SYS_getppid, [1, 0x22, 3, 4, 5, u64::MAX])
    })?;
    let group = Group::new("test")?;
    group.set("policy", "test")?;
    group.join(puppet.tid())?;
    let want = format!(
        "policy test: task {} (a?b?c d?efghi) makes x86_64 syscall 110 (getppid) with \
         0x1 0x22 0x3 0x4 0x5 0xffffffffffffffff: log\n",
        puppet.tid()
    );
    // What was said before may have used up what may be said.
    until("it is logged", || {
        puppet.call(0)?;
        Ok(log()?.contains(&want))
    })?;
    group.end()
}

fn log_says_how_many_are_missing() -> Result<()> {
    let _policy = Policy::new("test", "getppid log")?;
    let mut puppet = Puppet::new(|_| (0..100).map(|_| getppid()).sum())?;
    let group = Group::new("test")?;
    group.set("policy", "test")?;
    group.join(puppet.tid())?;
    let said = || -> Result<usize> {
        let lines = log()?;
        Ok(lines.matches(" calls before were not logged)\n").count())
    };
    let before = said()?;
    until("it is said", || {
        puppet.call(0)?;
        Ok(said()? > before)
    })?;
    group.end()
}
