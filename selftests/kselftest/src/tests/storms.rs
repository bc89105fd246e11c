// SPDX-License-Identifier: GPL-2.0

//! Storms: everything at once, for a number of rounds and a time at most. Afterwards nothing is left,
//! and the counters are right.

use super::{
    cgroups::Cgroup,
    crowd::{fork_one, make_calls, members, process_group, victims, Crowd, EPERM, RULES},
    module::{check_reload, kernel_memory, reload},
};
use crate::{
    paths::fast_path_is_on,
    process::{
        self, getppid, gettid, kill, make, reap, syscall, until, Child, Puppet, Shared,
        ROUNDS_DIVISOR,
    },
    slowpath::{
        attach_counted, detach, remove_groups, reset, set, tasks, write, Group, Policy, Task,
        POLICIES,
    },
};
use anyhow::{ensure, Context, Result};
use fastrand::Rng;
use std::{
    fs, io,
    sync::atomic::{AtomicU64, Ordering::SeqCst},
    time::{Duration, Instant},
};

super::tests! {
    [Cpus, Time] =>
        storm_of_attachments
        storm_of_switches
        storm_of_policies
        storm_of_kills
        storm_of_children
        storm_of_reloads;
}

/// In seconds.
const TIME: u32 = 90;
/// A reload has to wait for a grace period, with CPUs that are busy.
const RELOAD_TIME: u32 = 600;

/// Counts to `most`, or as far as it comes in the time; or to a part of it, where fewer rounds are made.
fn rounds_within(most: u64, seconds: u32) -> impl Iterator<Item = u64> {
    let divisor = ROUNDS_DIVISOR.load(SeqCst);
    let (start, time) = (
        Instant::now(),
        Duration::from_secs(seconds.into()) / divisor,
    );
    (0..most / u64::from(divisor)).take_while(move |_| start.elapsed() < time)
}

fn rounds(most: u64) -> impl Iterator<Item = u64> {
    rounds_within(most, TIME)
}

/// A write that may come too late, or too early.
fn try_to(result: Result<()>, what: &str) -> Result<()> {
    let Err(error) = result else { return Ok(()) };
    match error.downcast_ref().and_then(io::Error::raw_os_error) {
        Some(libc::ESRCH | libc::EBUSY | libc::ENOENT | libc::ENODEV | libc::EPERM) => Ok(()),
        _ => Err(error).with_context(|| what.to_string()),
    }
}

/// Attaches, changes and detaches victims.
fn disturb(random: &mut Rng, tids: &[i32]) -> Result<()> {
    let task = Task {
        tid: tids[random.usize(..tids.len())],
    };
    let tid = task.tid.to_string();
    let switch = ["0", "1"][random.usize(..2)];
    match random.u32(..13) {
        0..4 => try_to(set("attach", &tid).map_err(Into::into), "attach"),
        4 | 5 => try_to(set("detach", &tid).map_err(Into::into), "detach"),
        6 => move_to_group(random, &tid),
        7 => try_to(task.set("enabled", switch), "enabled"),
        8 => try_to(
            task.set("policy", ["none", "storm"][random.usize(..2)]),
            "policy",
        ),
        9 => try_to(
            task.set("exit_path", ["auto", "iret"][random.usize(..2)]),
            "exit_path",
        ),
        10 => try_to(task.set("count_exits", switch), "count_exits"),
        11 => {
            let signal = [libc::SIGSTOP, libc::SIGCONT, libc::SIGCONT, libc::SIGWINCH];
            kill(task.tid, signal[random.usize(..signal.len())]);
            Ok(())
        }
        _ => try_to(task.stat("entries").map(drop), "entries"),
    }
}

/// Has a victim, or its process, join one of the groups that the storm has, or leave it.
fn move_to_group(random: &mut Rng, tid: &str) -> Result<()> {
    let group = Group {
        name: format!("storm-{}", random.u32(..2)),
    };
    if random.u32(..3) == 0 {
        let file = Cgroup::root()?.join(["cgroup.procs", "storm/cgroup.procs"][random.usize(..2)]);
        return try_to(write(file, tid).map_err(Into::into), "cgroup");
    }
    let whom = match random.u32(..8) {
        0..4 => format!("task {tid}"),
        4..7 => format!("process {tid}"),
        _ => "all".into(),
    };
    match random.u32(..4) {
        0 | 1 => match whom.as_str() {
            "all" => Ok(()),
            _ => try_to(group.set("join", &whom), "join"),
        },
        2 => try_to(group.set("leave", &whom), "leave"),
        _ => {
            let follow = ["all", "threads", "none"][random.usize(..3)];
            let policy = ["none", "storm"][random.usize(..2)];
            try_to(group.set("follow", follow), "follow")?;
            try_to(group.set("policy", policy), "policy of a group")
        }
    }
}

/// Turns the switches that are for all.
fn turn_switches(random: &mut Rng, tids: &[i32]) -> Result<()> {
    let switch = ["0", "1"][random.usize(..2)];
    match random.u32(..10) {
        0 => set("enabled", switch).context("enabled"),
        1 => set("force_all", switch).context("force_all"),
        2 => set("detach", "all").context("detach all"),
        _ => disturb(random, tids),
    }
}

/// Makes, replaces, and removes policies.
fn change_policies(random: &mut Rng, tids: &[i32]) -> Result<()> {
    let policy = format!("{POLICIES}/storm");
    let other = format!("{POLICIES}/storm-{}", random.u32(..3));
    match random.u32(..10) {
        0..3 => {
            let mut rules = RULES.to_vec();
            random.shuffle(&mut rules);
            rules.truncate(random.usize(..=RULES.len()));
            rules.push("default allow");
            write(policy + "/rules", rules.join("\n")).context("rules")
        }
        3 => write(policy + "/mode", ["enforce", "log"][random.usize(..2)]).context("mode"),
        4 => fs::create_dir(other).or_else(|error| match error.raw_os_error() {
            Some(libc::EEXIST) => Ok(()),
            _ => Err(error).context("mkdir"),
        }),
        5 => try_to(fs::remove_dir(other).map_err(Into::into), "rmdir"),
        6 => {
            let task = Task {
                tid: tids[random.usize(..tids.len())],
            };
            try_to(task.set("policy", &other[POLICIES.len() + 1..]), "policy")
        }
        _ => disturb(random, tids),
    }
}

/// Processes that call a function again and again, each with a seed.
fn disturbers(most: u64, spared: &[i32], f: Disturb) -> Result<Vec<Child>> {
    const NUMBER: u64 = 3;
    /// Those that have left the group.
    static LEFT: Shared<AtomicU64> = Shared::new();

    LEFT.store(0, SeqCst);
    let group = process_group();
    let disturber = |seed| {
        Child::run(|| {
            // Nobody stops the others.
            make("setpgid", libc::SYS_setpgid, &[0, 0])?;
            LEFT.fetch_add(1, SeqCst);
            until("all have left", || Ok(LEFT.load(SeqCst) == NUMBER))?;
            let mut random = Rng::with_seed(seed);
            let mut tids = Vec::new();
            for round in rounds(most) {
                if round % 20 == 0 {
                    tids = victims(group, spared)?;
                }
                f(&mut random, &tids).with_context(|| format!("seed {seed}, round {round}"))?;
            }
            Ok(())
        })
    };
    (1..=NUMBER).map(disturber).collect()
}

type Disturb = fn(&mut Rng, &[i32]) -> Result<()>;

/// Ends all that the test has started, and what that has, some of which may be stopped: then none is
/// attached any more.
fn end_all() -> Result<()> {
    let gone = until("all attachments are gone", || {
        for pid in members(process_group())? {
            kill(pid, libc::SIGKILL);
        }
        Ok(tasks()?.is_empty())
    });
    gone.with_context(|| {
        let status =
            |tid: &i32| fs::read_to_string(format!("/proc/{tid}/stat")).unwrap_or_default();
        let left: Vec<_> = tasks().unwrap_or_default().iter().map(status).collect();
        format!("left: {left:?}")
    })
}

/// Nothing is left in sysfs, nor in the kernel: unloading waits for each attachment to be freed.
fn nothing_is_left(memory: i64) -> Result<()> {
    reset()?;
    check_reload()?;
    let more = kernel_memory()? - memory;
    // An attachment has more than a page, and most storms make thousands.
    ensure!(more < 8192, "{more} KiB more are in use");
    Ok(())
}

/// Runs a storm, and meanwhile `f`, whose tasks are spared.
fn storm(
    most: u64,
    spared: &[i32],
    disturb: Disturb,
    f: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let policy = Policy::new("storm", &RULES.join("\n"))?;
    for group in ["storm-0", "storm-1"] {
        Group::new(group)?.set("policy", "storm")?;
    }
    let cgroup = Cgroup::new("storm")?;
    cgroup.set("storm-0")?;
    let crowd = Crowd::new()?;
    let disturbers = disturbers(most, spared, disturb)?;
    f()?;
    for child in disturbers {
        child.wait_success()?;
    }
    crowd.end()?;
    end_all()?;
    drop(cgroup);
    remove_groups()?;
    drop(policy);
    Ok(())
}

/// The kernel's own caches have grown after the first.
fn two_storms(most: u64, disturb: Disturb) -> Result<()> {
    storm(most / 10, &[], disturb, || Ok(()))?;
    nothing_is_left(i64::MAX / 2)?;
    let memory = kernel_memory()?;
    storm(most, &[], disturb, || Ok(()))?;
    nothing_is_left(memory)
}

fn storm_of_switches() -> Result<()> {
    two_storms(4000, turn_switches)
}

fn storm_of_policies() -> Result<()> {
    two_storms(4000, change_policies)
}

/// Those that nobody disturbs are counted to the last call, and judged as their policy says.
fn storm_of_attachments() -> Result<()> {
    const CALLS: u64 = 1000;
    /// What a command to a puppet costs: the reply, and the next wait.
    const COMMAND: u64 = 2;

    let memory = kernel_memory()?;
    let policy = Policy::new("spared", "getppid return 5 when 2+2")?;
    let mut puppets = Vec::new();
    for _ in 0..3 {
        let puppet = Puppet::new(|_| (0..CALLS).filter(|_| getppid() == 5).count() as i64)?;
        puppet.until_idle()?;
        let task = attach_counted(puppet.tid())?;
        task.set("policy", "spared")?;
        puppets.push((puppet, task, task.stat("entries")?, task.stat("exits")?));
    }
    let spared: Vec<i32> = puppets.iter().map(|(puppet, ..)| puppet.tid()).collect();
    let mut made = 0;
    let result = storm(4000, &spared, disturb, || {
        for _ in rounds(100) {
            for (puppet, ..) in &mut puppets {
                puppet.send(0)?;
            }
            for (puppet, ..) in &mut puppets {
                let changed = puppet.reply()?;
                ensure!(
                    changed == CALLS as i64 / 2,
                    "{changed} of {CALLS} were judged"
                );
                puppet.until_idle()?;
            }
            made += 1;
        }
        for (puppet, task, entries, exits) in &puppets {
            let tid = puppet.tid();
            let counted = [task.stat("entries")? - entries, task.stat("exits")? - exits];
            let calls = made * (CALLS + COMMAND);
            // The exit of one that passes is counted with its entry: it is in there.
            let waits = u64::from(fast_path_is_on()?);
            ensure!(
                counted == [calls, calls + waits],
                "{tid}: {counted:?} in {made} rounds"
            );
            ensure!(task.stat("return")? == made * CALLS / 2, "{tid}: return");
            detach(tid)?;
        }
        Ok(())
    });
    result?;
    drop((puppets, policy));
    nothing_is_left(memory)
}

/// Tasks are killed wherever they are: in a hook, in a delay, in a call that was changed, in fork.
fn storm_of_kills() -> Result<()> {
    let memory = kernel_memory()?;
    let rules = RULES.join("\n") + "\ngetppid delay 1ms\ngetpgrp after errno EIO";
    let policy = Policy::new("storm", &rules)?;
    let victim = || loop {
        getppid();
        syscall(libc::SYS_getpgrp, [0; 6]);
        make_calls()?;
        fork_one(make_calls)?;
    };
    let killer = |seed| {
        Child::run(move || {
            let mut random = Rng::with_seed(seed);
            let inherit = seed % 2 == 0;
            if inherit {
                Group::of(gettid())?.set("policy", "storm")?;
            }
            for _ in rounds(400) {
                let child = Child::run(victim)?;
                let group = match inherit {
                    true => None,
                    false => Some(Group::of(child.pid)?),
                };
                if let Some(group) = &group {
                    group.set("policy", "storm")?;
                }
                for _ in 0..random.u32(..100) {
                    syscall(libc::SYS_sched_yield, [0; 6]);
                }
                child.kill(libc::SIGKILL);
                let status = child.wait()?;
                ensure!(status == 256 + libc::SIGKILL, "it ended with {status}");
                if let Some(group) = group {
                    group.end()?;
                }
            }
            Ok(())
        })
    };
    for child in (1..=4).map(killer).collect::<Result<Vec<_>>>()? {
        child.wait_success()?;
    }
    end_all()?;
    remove_groups()?;
    drop(policy);
    nothing_is_left(memory)
}

/// Thousands of children that inherit, while the policy is replaced: each call is counted, and each
/// refusal.
fn storm_of_children() -> Result<()> {
    const CHILDREN: u64 = 200;
    const CALLS: u64 = 5;

    static REFUSED: Shared<AtomicU64> = Shared::new();

    let memory = kernel_memory()?;
    let policy = Policy::new("storm", "getppid errno EPERM")?;
    REFUSED.store(0, SeqCst);
    let mut parents = Vec::new();
    for _ in 0..4 {
        let puppet = Puppet::new(|_| {
            for _ in 0..CHILDREN {
                let pid = syscall(libc::SYS_fork, [0; 6]) as i32;
                if pid == 0 {
                    let refused = (0..CALLS).filter(|_| getppid() == EPERM).count();
                    REFUSED.fetch_add(refused as u64, SeqCst);
                    process::exit(0);
                }
                if reap(pid).ok() != Some(0) {
                    return -1;
                }
            }
            0
        })?;
        puppet.until_idle()?;
        let group = Group::of(puppet.tid())?;
        group.set("policy", "storm")?;
        let entries = group.stat("entries")?;
        parents.push((puppet, group, entries));
    }
    let mut made = 0;
    for _ in rounds(6) {
        for (parent, ..) in &mut parents {
            parent.send(0)?;
        }
        for version in 0..100 {
            let verdict = ["errno EPERM", "allow", "log"][version % 3];
            policy.set("rules", &format!("getppid {verdict}"))?;
        }
        for (parent, ..) in &mut parents {
            ensure!(parent.reply()? == 0, "a child has failed");
            parent.until_idle()?;
        }
        made += 1;
    }
    let mut refused = 0;
    for (puppet, group, entries) in &parents {
        let counted = group.stat("entries")? - entries;
        // fork and wait4; a child's, and its exit_group; reply and the next wait.
        let want = made * (CHILDREN * (2 + CALLS + 1) + 2);
        ensure!(counted == want, "{counted} of {want} calls were counted");
        refused += group.stat("errno")?;
        ensure!(group.members()? == [puppet.tid()], "members");
    }
    let seen = REFUSED.load(SeqCst);
    ensure!(
        refused == seen && seen > 0,
        "{refused} were refused, the children saw {seen}"
    );
    drop(parents);
    end_all()?;
    remove_groups()?;
    drop(policy);
    nothing_is_left(memory)
}

fn storm_of_reloads() -> Result<()> {
    // It waits for grace periods most of the time: where fewer rounds are made, far fewer of these.
    let most = match ROUNDS_DIVISOR.load(SeqCst) {
        1 => 1000,
        _ => 200,
    };
    let mut made = 0;
    reload(rounds_within(most, RELOAD_TIME).inspect(|_| made += 1))?;
    eprintln!("{made} reloads");
    Ok(())
}
