// SPDX-License-Identifier: GPL-2.0

//! Which calls a rule is for: conditions, counts and architectures.

use super::policy::under;
use crate::{
    process::{gettid, syscall, until, Door, Puppet, DOORS, GETPID, GETPPID},
    slowpath::{attach, detach, Group, Policy},
};
use anyhow::{ensure, Result};
use std::{fs::OpenOptions, io::Write};

super::tests! {
    [] =>
        rule_conditions
        rule_when
        rule_when_starts_anew_with_new_rules
        rule_strictest_of_conditional_ones
        rules_written_line_by_line
        rules_written_over
        rules_written_after_reading
        rules_by_the_thousand;
    [Cpus] =>
        rule_when_is_counted_for_each_attachment
        rule_when_is_counted_once_while_rules_are_replaced;
    [CompatEntry] =>
        rule_conditions_of_32_bit_calls;
    [CompatEntry, X32] =>
        rule_for_every_architecture
        rule_for_one_architecture
        rule_default_of_one_architecture;
}

const EPERM: i64 = -(libc::EPERM as i64);

fn rule_conditions() -> Result<()> {
    let pid = i64::from(gettid());
    let (_, policy) = under("")?;
    let max = u64::MAX;
    for (condition, held_by, not_held_by) in [
        (
            "arg0 == 9",
            vec![9],
            vec![0, 8, 10, 9 | 1 << 32, 9 | 1 << 63],
        ),
        ("arg0 != 9", vec![0, 8, 10, 9 | 1 << 32], vec![9]),
        ("arg0 < 9", vec![0, 8], vec![9, 10, max]),
        ("arg0 <= 9", vec![0, 9], vec![10, max]),
        ("arg0 > 9", vec![10, max], vec![0, 9]),
        ("arg0 >= 9", vec![9, max], vec![0, 8]),
        (
            "arg0 & 0xfffc == 16",
            vec![16, 19, 16 | 1 << 16],
            vec![0, 20],
        ),
        ("arg0 == 0xffffffffffffffff", vec![max], vec![0, max >> 1]),
        ("arg0 > 3 arg0 < 6", vec![4, 5], vec![3, 6]),
    ] {
        policy.set("rules", &format!("getpid {condition} errno EPERM"))?;
        for value in held_by {
            let result = syscall(libc::SYS_getpid, [value, 0, 0, 0, 0, 0]);
            ensure!(result == EPERM, "{condition}, of {value:#x}");
        }
        for value in not_held_by {
            let result = syscall(libc::SYS_getpid, [value, 0, 0, 0, 0, 0]);
            ensure!(result == pid, "not {condition}, of {value:#x}");
        }
    }
    for argument in 0..6 {
        policy.set("rules", &format!("getpid arg{argument} == 7 errno EPERM"))?;
        for other in 0..6 {
            let mut args = [0; 6];
            args[other] = 7;
            let want = if other == argument { EPERM } else { pid };
            ensure!(syscall(libc::SYS_getpid, args) == want, "arg{argument}");
        }
    }
    Ok(())
}

/// The kernel looks at 32 bits of them only, and so do rules.
fn rule_conditions_of_32_bit_calls() -> Result<()> {
    let pid = i64::from(gettid());
    let _under = under("getpid arg0 == 9 arg1 == 8 arg2 == 7 errno EPERM")?;
    for garbage in [0, 1 << 32, 1 << 63] {
        let args = [9 | garbage, 8 | garbage, 7 | garbage];
        ensure!(Door::Int80.call(GETPID, args) == EPERM, "{garbage:#x}");
        let want = if garbage == 0 { EPERM } else { pid };
        ensure!(Door::Syscall.call(GETPID, args) == want, "{garbage:#x}");
    }
    ensure!(Door::Int80.call(GETPID, [9, 8, 6]) == pid);
    Ok(())
}

/// Which of ten calls fail.
fn failing() -> Vec<usize> {
    let fails = |_: &usize| syscall(libc::SYS_getppid, [0; 6]) == EPERM;
    (1..=10).filter(fails).collect()
}

fn rule_when() -> Result<()> {
    let (_, policy) = under("")?;
    for (when, want) in [
        ("1", vec![1]),
        ("3", vec![3]),
        ("8+", vec![8, 9, 10]),
        ("3+2", vec![3, 5, 7, 9]),
        ("2+4", vec![2, 6, 10]),
        ("11", vec![]),
    ] {
        policy.set("rules", &format!("getppid errno EPERM when {when}"))?;
        let failing = failing();
        ensure!(failing == want, "when {when}: {failing:?}");
    }
    Ok(())
}

fn rule_when_is_counted_for_each_attachment() -> Result<()> {
    let policy = Policy::new("test", "getppid return 9 when 2")?;
    let mut puppets = [
        Puppet::new(|_| crate::process::getppid())?,
        Puppet::new(|_| crate::process::getppid())?,
    ];
    for puppet in &puppets {
        attach(puppet.tid())?.set("policy", "test")?;
    }
    for round in 1..=3 {
        for puppet in &mut puppets {
            ensure!((puppet.call(0)? == 9) == (round == 2), "round {round}");
        }
    }
    for puppet in &puppets {
        detach(puppet.tid())?;
    }
    drop(policy);
    Ok(())
}

fn rule_when_starts_anew_with_new_rules() -> Result<()> {
    let (task, policy) = under("getppid errno EPERM when 4+")?;
    ensure!(failing().len() == 7);
    policy.set("rules", "getppid errno EPERM when 4+")?;
    ensure!(failing().len() == 7);
    task.set("policy", "none")?;
    task.set("policy", "test")?;
    ensure!(failing().len() == 7);
    Ok(())
}

/// Four threads make calls all the time. Each version of the rules spares the first three, whichever
/// threads make them.
fn rule_when_is_counted_once_while_rules_are_replaced() -> Result<()> {
    const VERSIONS: i64 = 200;
    const SPARED: i64 = 3;

    let rules = |version: i64| format!("getppid errno {} when {}+", 1000 + version, SPARED + 1);
    let policy = Policy::new("test", &rules(0))?;
    let mut puppet = Puppet::new(|_| {
        let ppid = crate::process::getppid();
        // How many calls were spared.
        let calls = move || {
            let mut spared = 0;
            loop {
                match crate::process::getppid() {
                    result if result == ppid => spared += 1,
                    result if result == -1000 - VERSIONS => return spared,
                    _ => {}
                }
            }
        };
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(calls)).collect();
        threads.into_iter().map(|t| t.join().unwrap_or(-1)).sum()
    })?;
    let group = Group::of(puppet.tid())?;
    group.set("policy", "test")?;
    puppet.send(0)?;
    for version in 1..=VERSIONS {
        // One call has failed, so that three were made.
        until("the rules are in force", || Ok(policy.hits(1)? > 0))?;
        policy.set("rules", &rules(version))?;
    }
    let spared = puppet.reply()?;
    // The first call of all has only shown what a spared one returns.
    let want = SPARED * (VERSIONS + 1) - 1;
    ensure!(spared == want, "{spared} calls were spared, and not {want}");
    ensure!(policy.hits(0)? as i64 >= SPARED);
    group.end()
}

fn rule_for_every_architecture() -> Result<()> {
    let (_, policy) = under("getppid errno EPERM")?;
    for door in DOORS {
        ensure!(door.call(GETPPID, [0; 3]) == EPERM, "{door:?}");
    }
    ensure!(policy.hits(1)? == 2);
    Ok(())
}

fn rule_for_one_architecture() -> Result<()> {
    let (_, policy) = under("")?;
    for (arch, only) in [("x86_64", Door::Syscall), ("i386", Door::Int80)] {
        policy.set("rules", &format!("getppid arch {arch} errno EPERM"))?;
        for door in DOORS {
            let refused = door.call(GETPPID, [0; 3]) == EPERM;
            ensure!(refused == (door == only), "{arch}, {door:?}");
        }
    }
    // A number is one of x86_64; 110 is another call for i386, and 64 is getppid there.
    for (rule, only) in [("110", Door::Syscall), ("64 arch i386", Door::Int80)] {
        policy.set("rules", &format!("{rule} errno EPERM"))?;
        for door in DOORS {
            let refused = door.call(GETPPID, [0; 3]) == EPERM;
            ensure!(refused == (door == only), "{rule}, {door:?}");
        }
    }
    // That has an entry in this table only.
    policy.set("rules", "getppid arch x32 errno EPERM")?;
    for door in DOORS {
        ensure!(door.call(GETPPID, [0; 3]) > 0);
    }
    const X32: i64 = 1 << 30;
    ensure!(syscall(libc::SYS_getppid | X32, [0; 6]) == EPERM);
    Ok(())
}

fn rule_default_of_one_architecture() -> Result<()> {
    let pid = i64::from(gettid());
    let (_, policy) = under("default arch i386 errno EPERM")?;
    ensure!(Door::Int80.call(GETPID, [0; 3]) == EPERM);
    ensure!(Door::Syscall.call(GETPID, [0; 3]) == pid);
    policy.set("rules", "default arch i386 errno EPERM\ngetpid allow")?;
    ensure!(Door::Int80.call(GETPID, [0; 3]) == pid);
    ensure!(Door::Int80.call(GETPPID, [0; 3]) == EPERM);
    Ok(())
}

fn rule_strictest_of_conditional_ones() -> Result<()> {
    let pid = i64::from(gettid());
    let (_, policy) = under(
        "getpid arg0 > 5 return 1\ngetpid arg0 > 10 errno EPERM\ngetpid arg0 > 7 return 2\n\
         getpid arg0 > 15 log",
    )?;
    for (arg, want) in [(5, pid), (6, 1), (8, 1), (11, EPERM), (16, EPERM)] {
        let result = syscall(libc::SYS_getpid, [arg, 0, 0, 0, 0, 0]);
        ensure!(result == want, "{arg}: {result}");
    }
    let hits = (policy.hits(1)?, policy.hits(2)?, policy.hits(3)?);
    ensure!(hits == (2, 2, 0), "{hits:?}");
    Ok(())
}

/// As a shell does that writes each line by itself: each write stores all up to it.
fn rules_written_line_by_line() -> Result<()> {
    let (_, policy) = under("")?;
    let mut file = OpenOptions::new().write(true).open(policy.path("rules"))?;
    file.write_all(b"getppid errno EPERM\n")?;
    ensure!(policy.get("rules")? == "default allow\ngetppid errno EPERM");
    file.write_all(b"getpid return 5\n")?;
    ensure!(policy.get("rules")? == "default allow\ngetppid errno EPERM\ngetpid return 5");
    ensure!(file.write(b"nonsense\n").is_err());
    ensure!(policy.get("rules")? == "default allow\ngetppid errno EPERM\ngetpid return 5");
    // What failed is not there when more comes.
    file.write_all(b"gettid log\n")?;
    let want = "default allow\ngetppid errno EPERM\ngetpid return 5\ngettid log";
    ensure!(policy.get("rules")? == want);
    Ok(())
}

fn rules_written_over() -> Result<()> {
    use std::os::unix::fs::FileExt;

    let policy = Policy::new("test", "")?;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(policy.path("rules"))?;
    for rules in [
        "getpid log",
        "getppid errno EPERM",
        "x32_is_no_call allow",
        "read log",
    ] {
        let refused = file.write_at(rules.as_bytes(), 0).is_err();
        ensure!(refused == rules.contains("allow"));
        let mut text = [0; 100];
        let len = file.read_at(&mut text, 0)?;
        let kept = if refused {
            "getppid errno EPERM"
        } else {
            rules
        };
        ensure!(text[..len] == *format!("default allow\n{kept}\n").as_bytes());
    }
    ensure!(file.write_at(b"read log", 5000).is_err(), "behind a hole");
    Ok(())
}

/// On one descriptor: what is written after a read replaces what was there.
fn rules_written_after_reading() -> Result<()> {
    use std::io::{Read, Write};

    let policy = Policy::new("test", "getpid log")?;
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(policy.path("rules"))?;
    file.read_to_string(&mut String::new())?;
    file.write_all(b"read log\n")?;
    file.write_all(b"write log\n")?;
    ensure!(policy.get("rules")? == "default allow\nread log\nwrite log");
    Ok(())
}

fn rules_by_the_thousand() -> Result<()> {
    let mut rules: Vec<String> = Vec::new();
    for arch in ["x86_64", "i386"] {
        rules.extend((0..470).map(|nr| format!("{nr} arch {arch} allow\n")));
    }
    // Not what is never judged, and last what counts.
    rules.retain(|r| {
        !["0 arch i386", "219 ", "335 ", "336 "]
            .iter()
            .any(|p| r.starts_with(p))
    });
    rules.extend((0..100).map(|value| format!("getpid arg0 == {value} return {value}\n")));
    let (_, policy) = under(&rules.concat())?;
    for value in 0..100 {
        ensure!(syscall(libc::SYS_getpid, [value, 0, 0, 0, 0, 0]) == value as i64);
    }
    ensure!(syscall(libc::SYS_getpid, [100, 0, 0, 0, 0, 0]) == i64::from(gettid()));
    let shown = policy.get("rules")?;
    ensure!(shown.lines().count() == rules.len() + 1);
    policy.set("rules", &shown)?;
    ensure!(policy.get("rules")? == shown);
    Ok(())
}
