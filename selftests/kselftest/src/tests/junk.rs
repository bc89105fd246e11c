// SPDX-License-Identifier: GPL-2.0

//! A hundred thousand random writes to the files: nothing changes but by a write that was taken, and
//! none is taken that is not valid.

use super::cgroups::Cgroup;
use crate::{
    process::{rounds, Child, Puppet},
    slowpath::{
        attach, detach, read, state, tasks, Group, Policy, Task, CONFIGFS, POLICIES, SYSFS,
    },
};
use anyhow::{ensure, Context, Result};
use fastrand::Rng;
use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

super::tests! {
    [Cpus] =>
        junk_is_refused
        junk_from_many_writers
        junk_for_files_that_are_read;
}

/// Words of the files' languages, of which most of a write is made.
const WORDS: &[&str] = &[
    "0",
    "1",
    "2",
    "-1",
    "all",
    "none",
    "junk",
    "other",
    "auto",
    "iret",
    "enforce",
    "log",
    "allow",
    "default",
    "getppid",
    "openat",
    "errno",
    "EPERM",
    "return",
    "delay",
    "20ms",
    "signal",
    "trap",
    "kill_process",
    "redirect",
    "set",
    "after",
    "when",
    "3+2",
    "arg0",
    "==",
    "&",
    "0x10",
    "arch",
    "i386",
    "x86_64",
    "4294967296",
    "18446744073709551616",
    "#",
    "\n",
    "\n",
    " ",
    "\t",
    "\0",
    "\u{e4}",
];

/// Something to write: bytes, words, a valid value with an error in it, or a valid value.
fn junk(random: &mut Rng, valid: &[&str]) -> Vec<u8> {
    let bytes = |random: &mut Rng, most| -> Vec<u8> {
        let len = random.usize(1..=most);
        (0..len).map(|_| random.u8(..)).collect()
    };
    let mut text = valid[random.usize(..valid.len())].as_bytes().to_vec();
    match random.u32(..100) {
        0..20 => bytes(random, 40),
        20 => bytes(random, 5000),
        // More than any file takes; a file of sysfs takes 4095.
        21 => bytes(random, 80_000),
        22..60 => {
            let words = (0..random.usize(1..8)).map(|_| WORDS[random.usize(..WORDS.len())]);
            words
                .collect::<Vec<_>>()
                .join(["", " "][random.usize(..2)])
                .into()
        }
        60..90 => {
            let at = random.usize(..=text.len());
            match random.u32(..3) {
                0 => text.insert(at, random.u8(..)),
                // A write of nothing is none.
                1 => text.truncate(at.max(1)),
                _ if at < text.len() => text[at] ^= 1 << random.u32(..8),
                _ => text.extend_from_slice(b"\n\n"),
            }
            text
        }
        _ => {
            if random.bool() {
                text.push(b'\n');
            }
            text
        }
    }
}

/// A file, and what may be written to it.
struct Target {
    path: PathBuf,
    valid: &'static [&'static str],
}

const SWITCH: &[&str] = &["0", "1"];

fn targets(task: Task, policy: &Policy, group: &Group, cgroup: &Cgroup) -> Vec<Target> {
    let root = |name: &str| PathBuf::from(format!("{SYSFS}/{name}"));
    let target = |path, valid| Target { path, valid };
    vec![
        target(root("enabled"), SWITCH),
        target(root("force_all"), SWITCH),
        target(task.path("enabled"), SWITCH),
        target(task.path("exit_path"), &["auto", "iret"]),
        target(task.path("count_exits"), SWITCH),
        target(task.path("policy"), &["none", "junk"]),
        target(policy.path("mode"), &["enforce", "log"]),
        target(group.path("enabled"), SWITCH),
        target(group.path("follow"), &["all", "threads", "none"]),
        target(group.path("exit_path"), &["auto", "iret"]),
        target(group.path("count_exits"), SWITCH),
        target(group.path("policy"), &["none", "junk"]),
        target(cgroup.0.join("slowpath.group"), &["none", "junk"]),
        target(
            policy.path("rules"),
            &[
                "default log\ngetppid errno EPERM",
                "getppid arg0 & 0xff == 3 return -7 when 3+2",
                "openat arch i386 delay 20ms\nkill arg1 == 9 signal SIGUSR1",
            ],
        ),
    ]
}

/// Writes, in one piece or two, or somewhere into the file. Returns whether it was one.
fn put(random: &mut Rng, target: &Target, text: &[u8]) -> Result<(bool, io::Result<()>)> {
    let mut file = OpenOptions::new().write(true).open(&target.path)?;
    let whole = |written| match written == text.len() {
        true => Ok(()),
        false => Err(io::ErrorKind::WriteZero.into()),
    };
    Ok(match random.u32(..10) {
        0 => {
            let (first, rest) = text.split_at(random.usize(1..=text.len()));
            let result = file.write_all(first).and_then(|()| file.write_all(rest));
            (false, result)
        }
        1 => (true, file.write_at(text, random.u64(..100)).and_then(whole)),
        _ => (true, file.write(text).and_then(whole)),
    })
}

/// What a value is without the newline that it may have.
fn value(text: &[u8]) -> &[u8] {
    text.strip_suffix(b"\n").unwrap_or(text)
}

fn junk_is_refused() -> Result<()> {
    let puppet = Puppet::new(|_| 0)?;
    let task = attach(puppet.tid())?;
    let policy = Policy::new("junk", "getppid errno EPERM")?;
    let group = Group::new("junk")?;
    let cgroup = Cgroup::new("junk")?;
    let targets = targets(task, &policy, &group, &cgroup);
    let mut random = Rng::with_seed(1);
    let mut taken = vec![0; targets.len()];
    let mut all = state()?;
    for i in 0..rounds(60_000) {
        let n = random.usize(..targets.len());
        let target = &targets[n];
        let rules = target.path == policy.path("rules");
        let text = junk(&mut random, target.valid);
        let before = read(&target.path)?;
        let (one_piece, result) = put(&mut random, target, &text)?;
        let after = read(&target.path)?;
        let what = || {
            let shown = String::from_utf8_lossy(&text[..text.len().min(200)]).into_owned();
            format!(
                "write {i} to {}: {shown:?}: {result:?}",
                target.path.display()
            )
        };
        if after != before {
            ensure!(
                rules || target.valid.contains(&after.as_str()),
                "{}: now {after:?}",
                what()
            );
            taken[n] += 1;
        }
        match &result {
            Ok(()) if !rules => {
                // As a cgroup's files do, that one takes blanks around it.
                let text = match target.path.ends_with("slowpath.group") {
                    true => trimmed(text.as_ref()),
                    false => &text,
                };
                let end =
                    text.ends_with(after.as_bytes()) || value(text).ends_with(after.as_bytes());
                ensure!(end, "{}: now {after:?}", what());
            }
            Ok(()) => {
                // What is read is the same rules again.
                policy.set("rules", &after)?;
                ensure!(policy.get("rules")? == after, "{}: now {after:?}", what());
            }
            Err(error) => {
                let errno = error.raw_os_error();
                let known = [libc::EINVAL, libc::E2BIG, libc::ENOENT, libc::EFBIG].map(Some);
                ensure!(errno.is_none() || known.contains(&errno), "{}", what());
                // The first of two pieces may have been taken.
                let same = after == before || !one_piece;
                ensure!(same, "{}: {before:?} is now {after:?}", what());
            }
        }
        if i % 1000 == 0 {
            // What is written to nowhere here must be as before.
            all = unchanged_but(&targets, &all).with_context(what)?;
        }
    }
    for (target, taken) in targets.iter().zip(&taken) {
        ensure!(
            *taken > rounds(100),
            "{}: only {taken} were taken",
            target.path.display()
        );
    }
    detach(task.tid)?;
    junk_tids(random)
}

/// Checks that all lines of the state are as before, but for those of the targets; returns it.
fn unchanged_but(targets: &[Target], before: &str) -> Result<String> {
    let now = state()?;
    let others = |state: &str| -> Vec<String> {
        let target = |line: &&str| {
            let of = |target: &Target| line.starts_with(&format!("{}: ", target.path.display()));
            targets.iter().any(of)
        };
        state
            .lines()
            .filter(|line| !target(line))
            .map(String::from)
            .collect()
    };
    ensure!(others(before) == others(&now), "changed\n{before}to\n{now}");
    Ok(now)
}

/// The files that take the number of a task: what they take is a number, and that of a task.
fn junk_tids(mut random: Rng) -> Result<()> {
    let puppets = (0..4)
        .map(|_| Puppet::new(|_| 0))
        .collect::<Result<Vec<_>>>()?;
    let tids: Vec<String> = puppets
        .iter()
        .map(|puppet| puppet.tid().to_string())
        .collect();
    let valid: Vec<&str> = tids.iter().map(String::as_str).collect();
    let mut attached: Vec<i32> = Vec::new();
    let mut taken = [0; 2];
    for _ in 0..rounds(10_000) {
        let detaching = random.bool();
        let target = Target {
            path: format!("{SYSFS}/{}", ["attach", "detach"][usize::from(detaching)]).into(),
            valid: &[],
        };
        let text = junk(&mut random, &valid);
        let result = OpenOptions::new()
            .write(true)
            .open(&target.path)?
            .write(&text);
        let shown = String::from_utf8_lossy(&text[..text.len().min(200)]).into_owned();
        if result.is_ok() {
            taken[usize::from(detaching)] += 1;
            let text = std::str::from_utf8(value(&text)).context("not text")?;
            if detaching && text == "all" {
                attached.clear();
            } else {
                let tid: i32 = text
                    .parse()
                    .with_context(|| format!("{text:?} was taken"))?;
                ensure!(
                    text.bytes().all(|c| c.is_ascii_digit()),
                    "{text:?} was taken"
                );
                ensure!(attached.contains(&tid) == detaching, "{text}: {attached:?}");
                match detaching {
                    true => attached.retain(|t| *t != tid),
                    false => attached.push(tid),
                }
            }
        }
        attached.sort_unstable();
        let now = tasks()?;
        ensure!(
            now == attached,
            "{shown:?}: {result:?}: {now:?}, not {attached:?}"
        );
    }
    ensure!(
        taken.iter().all(|n| *n > rounds(100)),
        "only {taken:?} were taken"
    );
    Ok(())
}

/// Without what the kernel takes for blanks, at both ends.
fn trimmed(mut text: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| matches!(byte, b'\t'..=b'\r' | b' ' | 0xa0);
    while let [rest @ .., last] = text {
        if !is_blank(last) {
            break;
        }
        text = rest;
    }
    while let [first, rest @ ..] = text {
        if !is_blank(first) {
            break;
        }
        text = rest;
    }
    text
}

/// Each file has a value that somebody wrote at the end.
fn junk_from_many_writers() -> Result<()> {
    const WRITERS: u64 = 4;

    let puppet = Puppet::new(|_| 0)?;
    let task = attach(puppet.tid())?;
    let policy = Policy::new("junk", "getppid errno EPERM")?;
    let group = Group::new("junk")?;
    let cgroup = Cgroup::new("junk")?;
    let targets = targets(task, &policy, &group, &cgroup);
    let all = state()?;
    let writer = |seed| {
        let targets = &targets;
        Child::run(move || {
            let mut random = Rng::with_seed(seed);
            for _ in 0..rounds(8_000) {
                let target = &targets[random.usize(..targets.len())];
                let text = junk(&mut random, target.valid);
                let _ = put(&mut random, target, &text)?;
            }
            Ok(())
        })
    };
    let writers = (1..=WRITERS).map(writer).collect::<Result<Vec<_>>>()?;
    for writer in writers {
        writer.wait_success()?;
    }
    unchanged_but(&targets, &all)?;
    for target in &targets {
        let text = read(&target.path)?;
        if target.path == policy.path("rules") {
            policy.set("rules", &text)?;
            ensure!(policy.get("rules")? == text, "{text:?}");
        } else {
            let name = target.path.display();
            ensure!(target.valid.contains(&text.as_str()), "{name}: {text:?}");
        }
    }
    ensure!(tasks()? == [task.tid], "{:?}", tasks()?);
    task.set("policy", "none")?;
    drop(cgroup);
    group.end()?;
    drop(policy);
    ensure!(fs::read_dir(POLICIES)?.next().is_none(), "a policy is left");
    Ok(())
}

const WRITABLE: &[&str] = &[
    "attach",
    "calls",
    "count_exits",
    "detach",
    "enabled",
    "force_all",
    "follow",
    "join",
    "latency",
    "leave",
    "policy",
    "exit_path",
    "rules",
    "mode",
];

/// The files below a directory that are only to be read.
fn read_only(dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            read_only(&path, files)?;
        } else if !WRITABLE.iter().any(|name| path.ends_with(name)) {
            files.push(path);
        }
    }
    Ok(())
}

/// Root may not write them either.
fn junk_for_files_that_are_read() -> Result<()> {
    let puppet = Puppet::new(|_| 0)?;
    let task = attach(puppet.tid())?;
    let policy = Policy::new("junk", "getppid errno EPERM")?;
    let group = Group::new("junk")?;
    let mut files = Vec::new();
    read_only(Path::new(SYSFS), &mut files)?;
    read_only(Path::new(CONFIGFS), &mut files)?;
    for known in [
        task.path("stats"),
        group.path("members"),
        policy.path("hits"),
    ] {
        ensure!(
            files.contains(&known),
            "{} is not among them",
            known.display()
        );
    }
    for path in files {
        let opened = OpenOptions::new().write(true).open(&path);
        ensure!(opened.is_err(), "{} was opened for writing", path.display());
    }
    Ok(())
}
