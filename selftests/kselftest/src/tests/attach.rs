// SPDX-License-Identifier: GPL-2.0

//! Attaching and detaching tasks in every state, and the switches.

use crate::{
    process::{self, getppid, gettid, pipe, syscall, until, until_blocked, Child, Puppet, Shared},
    slowpath::{
        attach, attach_counted, detach, read, set, tasks, total, until_none_attached, Policy, Task,
        SYSFS,
    },
};
use anyhow::{ensure, Result};
use std::{
    io::{Read, Write},
    sync::{
        atomic::{AtomicI32, AtomicU64, Ordering::SeqCst},
        Arc,
    },
};

super::tests! {
    [] =>
        attach_in_pid_namespace
        attach_number_of_other_namespace
        attach_shows_directory
        detach_in_pid_namespace
        toggle_is_kept_apart;
    [Cpus] =>
        attach_again_after_detach
        totals_keep_what_is_gone
        exit_removes_attachment
        kill_removes_attachment
        zombie_has_no_attachment
        tid_reuse;
    [FastPath] =>
        attach_self
        detach_self
        toggle_attachment
        toggle_module
        force_all_respects_toggle
        exit_classes_are_counted
        exit_path_is_counted
        exits_are_counted_if_asked_for;
    [FastPath, Cpus] =>
        attach_child
        attach_spinning_task
        attach_blocked_task_sees_exit_without_entry
        attach_stopped_task
        attach_other_thread
        attach_many
        detach_blocked_task
        detach_all
        toggle_attachment_of_spinning_task
        force_all_reaches_nobody_else;
}

fn calls(n: u8) -> i64 {
    for _ in 0..n {
        getppid();
    }
    0
}

/// A child that makes as many `getppid` calls as each command says.
fn caller() -> Result<Puppet> {
    let puppet = Puppet::new(calls)?;
    puppet.until_idle()?;
    Ok(puppet)
}

/// What a command to a `Puppet` costs beside what it does: the reply and the next wait.
const COMMAND: u64 = 2;

/// Lets the child make calls, and checks that all of them are counted.
fn check_counted(puppet: &mut Puppet, task: Task) -> Result<()> {
    let (entries, exits) = (task.stat("entries")?, task.stat("exits")?);
    puppet.call(50)?;
    let entries = task.stat("entries")? - entries;
    let exits = task.stat("exits")? - exits;
    ensure!(
        entries == 50 + COMMAND,
        "{entries} entries for {} calls",
        50 + COMMAND
    );
    ensure!(
        exits == 50 + COMMAND,
        "{exits} exits for {} calls",
        50 + COMMAND
    );
    Ok(())
}

fn check_not_counted(puppet: &mut Puppet, task: Task) -> Result<()> {
    let before = (task.stat("entries")?, task.stat("exits")?);
    puppet.call(50)?;
    let after = (task.stat("entries")?, task.stat("exits")?);
    ensure!(before == after, "counted from {before:?} to {after:?}");
    Ok(())
}

fn attach_self() -> Result<()> {
    let task = attach(gettid())?;
    let entries = task.stat("entries")?;
    let again = task.stat("entries")?;
    calls(100);
    let after = task.stat("entries")?;
    // What reading a counter costs is the same each time.
    ensure!(
        after - again == again - entries + 100,
        "{entries} {again} {after}"
    );
    Ok(())
}

fn attach_child() -> Result<()> {
    let mut puppet = caller()?;
    let task = attach_counted(puppet.tid())?;
    check_counted(&mut puppet, task)?;
    check_counted(&mut puppet, task)
}

/// A child that spins until it gets SIGUSR1, then makes 7 calls and spins on.
fn spinner() -> Result<Child> {
    extern "C" fn handler(_: i32) {
        calls(7);
    }
    let shared = Shared::<AtomicU64>::new();
    shared.store(0, SeqCst);
    let child = Child::fork(|| {
        process::handle(libc::SIGUSR1, 0, handler as *const ());
        loop {
            shared.fetch_add(1, SeqCst);
        }
    })?;
    until("spinning", || Ok(shared.load(SeqCst) > 0))?;
    Ok(child)
}

fn attach_spinning_task() -> Result<()> {
    let child = spinner()?;
    let task = attach_counted(child.pid)?;
    ensure!(task.stat("entries")? == 0 && task.stat("exits")? == 0);
    child.kill(libc::SIGUSR1);
    // The calls, and the return from the handler.
    until("counted", || Ok(task.stat("entries")? == 8))?;
    until("counted", || Ok(task.stat("exits")? == 8))
}

fn attach_blocked_task_sees_exit_without_entry() -> Result<()> {
    let mut puppet = caller()?;
    let task = attach_counted(puppet.tid())?;
    ensure!(task.stat("entries")? == 0 && task.stat("exits")? == 0);
    puppet.call(0)?;
    // Out of a read that was entered before; write; into a read that is not over.
    let counts = (task.stat("entries")?, task.stat("exits")?);
    ensure!(counts == (2, 2), "{counts:?}");
    puppet.call(0)?;
    let counts = (task.stat("entries")?, task.stat("exits")?);
    ensure!(counts == (4, 4), "{counts:?}");
    Ok(())
}

fn attach_stopped_task() -> Result<()> {
    let mut puppet = caller()?;
    puppet.child.stop()?;
    let task = attach_counted(puppet.tid())?;
    puppet.child.go_on();
    puppet.until_idle()?;
    check_counted(&mut puppet, task)
}

fn attach_other_thread() -> Result<()> {
    let tid = Arc::new(AtomicI32::new(0));
    let (mut commands_in, mut commands) = pipe()?;
    let (mut replies, mut replies_out) = pipe()?;
    let thread_tid = tid.clone();
    let thread = std::thread::spawn(move || -> Result<()> {
        thread_tid.store(gettid(), SeqCst);
        let mut byte = [0];
        while commands_in.read(&mut byte)? == 1 {
            calls(byte[0]);
            replies_out.write_all(&byte)?;
        }
        Ok(())
    });
    until("started", || Ok(tid.load(SeqCst) != 0))?;
    let tid = tid.load(SeqCst);
    until_blocked(tid, libc::SYS_read)?;

    let task = attach(tid)?;
    calls(100);
    ensure!(task.stat("entries")? == 0, "the other thread is counted");
    let mut byte = [9];
    commands.write_all(&byte)?;
    replies.read_exact(&mut byte)?;
    until_blocked(tid, libc::SYS_read)?;
    let entries = task.stat("entries")?;
    ensure!(entries == 11, "{entries} entries for 11 calls");
    drop(commands);
    thread
        .join()
        .map_err(|_| anyhow::anyhow!("the thread panicked"))?
}

/// Runs `f` in a child that is the first task of a PID namespace; returns its exit status.
fn in_pid_namespace(f: impl FnOnce() -> i32) -> Result<i32> {
    let outer = Child::fork(|| {
        if syscall(
            libc::SYS_unshare,
            [libc::CLONE_NEWPID as u64, 0, 0, 0, 0, 0],
        ) != 0
        {
            return 100;
        }
        Child::fork(f).and_then(Child::wait).unwrap_or(101)
    })?;
    outer.wait()
}

fn errno(result: std::io::Result<()>) -> i32 {
    result.err().and_then(|e| e.raw_os_error()).unwrap_or(0)
}

fn attach_in_pid_namespace() -> Result<()> {
    let before = total("entries")?;
    let status = in_pid_namespace(|| {
        // Ourselves, as we see it. The directory has the number that the system sees.
        if errno(set("attach", "1")) != 0 {
            return 1;
        }
        calls(100);
        match tasks() {
            Ok(tids) if tids.len() == 1 && tids[0] != 1 => 0,
            _ => 2,
        }
    })?;
    ensure!(status == 0, "exit status {status}");
    until_none_attached()?;
    until("counted", || Ok(total("entries")? >= before + 100))
}

fn attach_number_of_other_namespace() -> Result<()> {
    let puppet = caller()?;
    let tid = puppet.tid();
    let status = in_pid_namespace(|| errno(set("attach", tid.to_string())))?;
    ensure!(status == libc::ESRCH, "exit status {status}");
    ensure!(tasks()?.is_empty());
    Ok(())
}

fn detach_in_pid_namespace() -> Result<()> {
    let status = in_pid_namespace(|| {
        if errno(set("attach", "1")) != 0 {
            return 1;
        }
        if errno(set("detach", "1")) != 0 {
            return 2;
        }
        tasks().map_or(3, |tids| i32::from(!tids.is_empty()))
    })?;
    ensure!(status == 0, "exit status {status}");
    Ok(())
}

fn attach_shows_directory() -> Result<()> {
    let puppet = caller()?;
    let task = attach(puppet.tid())?;
    ensure!(tasks()? == [puppet.tid()]);
    for (file, value) in [
        ("enabled", "1"),
        ("policy", "none"),
        ("exit_path", "auto"),
        ("count_exits", "0"),
    ] {
        ensure!(task.get(file)? == value, "{file} is {}", task.get(file)?);
    }
    let stats = task.get("stats")?;
    ensure!(stats.lines().count() == 27, "{stats}");
    ensure!(stats.lines().all(|line| line.ends_with(" 0")), "{stats}");
    detach(puppet.tid())?;
    ensure!(!task.exists());
    Ok(())
}

fn attach_again_after_detach() -> Result<()> {
    let mut puppet = caller()?;
    for _ in 0..20 {
        let task = attach_counted(puppet.tid())?;
        check_counted(&mut puppet, task)?;
        detach(puppet.tid())?;
        ensure!(tasks()?.is_empty());
    }
    Ok(())
}

fn attach_many() -> Result<()> {
    let mut puppets = (0..30).map(|_| caller()).collect::<Result<Vec<_>>>()?;
    let tasks = puppets
        .iter()
        .map(|p| attach_counted(p.tid()))
        .collect::<Result<Vec<_>>>()?;
    for (puppet, task) in puppets.iter_mut().zip(tasks) {
        check_counted(puppet, task)?;
    }
    Ok(())
}

fn detach_self() -> Result<()> {
    attach(gettid())?;
    let before = total("entries")?;
    detach(gettid())?;
    // This one call is the last that is seen.
    let after = total("entries")?;
    calls(100);
    ensure!(total("entries")? == after, "counted after detaching");
    ensure!(after > before);
    Ok(())
}

fn detach_blocked_task() -> Result<()> {
    let mut puppet = caller()?;
    attach_counted(puppet.tid())?;
    puppet.call(3)?;
    let before = (total("entries")?, total("exits")?);
    detach(puppet.tid())?;
    puppet.call(50)?;
    let after = (total("entries")?, total("exits")?);
    ensure!(before == after, "counted from {before:?} to {after:?}");
    Ok(())
}

fn detach_all() -> Result<()> {
    let mut puppets = (0..8).map(|_| caller()).collect::<Result<Vec<_>>>()?;
    for puppet in &puppets {
        attach(puppet.tid())?;
    }
    ensure!(tasks()?.len() == 8);
    set("detach", "all")?;
    ensure!(tasks()?.is_empty());
    let before = total("entries")?;
    for puppet in &mut puppets {
        puppet.call(5)?;
    }
    ensure!(total("entries")? == before);
    Ok(())
}

fn toggle_attachment() -> Result<()> {
    let mut puppet = caller()?;
    let task = attach_counted(puppet.tid())?;
    for _ in 0..5 {
        task.set("enabled", "0")?;
        ensure!(task.get("enabled")? == "0");
        check_not_counted(&mut puppet, task)?;
        task.set("enabled", "1")?;
        ensure!(task.get("enabled")? == "1");
        // The read in which the child waits was entered while the switch was off.
        puppet.call(0)?;
        check_counted(&mut puppet, task)?;
    }
    Ok(())
}

fn toggle_attachment_of_spinning_task() -> Result<()> {
    let child = spinner()?;
    let task = attach(child.pid)?;
    task.set("enabled", "0")?;
    child.kill(libc::SIGUSR1);
    until("the signal was handled", || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.pid))?;
        Ok(status.contains("SigPnd:\t0000000000000000\n")
            && status.contains("ShdPnd:\t0000000000000000\n"))
    })?;
    task.set("enabled", "1")?;
    let before = task.stat("entries")?;
    ensure!(before <= 8);
    child.kill(libc::SIGUSR1);
    until("counted", || Ok(task.stat("entries")? >= 8))
}

fn toggle_module() -> Result<()> {
    let mut puppet = caller()?;
    let task = attach_counted(puppet.tid())?;
    set("enabled", "0")?;
    ensure!(read(format!("{SYSFS}/enabled"))? == "0");
    check_not_counted(&mut puppet, task)?;

    let mut late = caller()?;
    let late_task = attach_counted(late.tid())?;
    check_not_counted(&mut late, late_task)?;

    set("enabled", "1")?;
    puppet.call(0)?;
    late.call(0)?;
    check_counted(&mut puppet, task)?;
    check_counted(&mut late, late_task)
}

fn toggle_is_kept_apart() -> Result<()> {
    let mut puppet = caller()?;
    let task = attach_counted(puppet.tid())?;
    task.set("enabled", "0")?;
    set("enabled", "0")?;
    set("enabled", "1")?;
    ensure!(
        task.get("enabled")? == "0",
        "the module's switch changed the attachment's"
    );
    check_not_counted(&mut puppet, task)
}

fn force_all_reaches_nobody_else() -> Result<()> {
    let mut puppet = caller()?;
    let before = total("entries")?;
    set("force_all", "1")?;
    ensure!(read(format!("{SYSFS}/force_all"))? == "1");
    puppet.call(50)?;
    let mut late = caller()?;
    late.call(50)?;
    ensure!(
        total("entries")? == before,
        "a task that nobody attached was counted"
    );
    // Attached tasks work as ever meanwhile.
    let task = attach_counted(puppet.tid())?;
    puppet.call(0)?;
    check_counted(&mut puppet, task)?;
    set("force_all", "0")?;
    ensure!(read(format!("{SYSFS}/force_all"))? == "0");
    check_counted(&mut puppet, task)
}

fn force_all_respects_toggle() -> Result<()> {
    let mut puppet = caller()?;
    let policy = Policy::new("test", "getpgrp errno EPERM")?;
    let task = attach_counted(puppet.tid())?;
    // Nothing is to pass, either.
    task.set("policy", policy.name)?;
    task.set("enabled", "0")?;
    set("force_all", "1")?;
    check_not_counted(&mut puppet, task)?;
    task.set("enabled", "1")?;
    set("enabled", "0")?;
    check_not_counted(&mut puppet, task)?;
    drop(puppet);
    Ok(())
}

fn totals_keep_what_is_gone() -> Result<()> {
    let before = (total("entries")?, total("exits")?);
    let mut puppet = caller()?;
    let task = attach_counted(puppet.tid())?;
    puppet.call(100)?;
    let counted = (task.stat("entries")?, task.stat("exits")?);
    ensure!(total("entries")? - before.0 == counted.0);
    detach(puppet.tid())?;
    // The counters move to the totals some grace periods later.
    for _ in 0..50 {
        let now = (total("entries")? - before.0, total("exits")? - before.1);
        ensure!(now == counted, "{now:?} instead of {counted:?}");
        // Waits for a grace period.
        let global = libc::MEMBARRIER_CMD_GLOBAL as u64;
        syscall(libc::SYS_membarrier, [global, 0, 0, 0, 0, 0]);
    }
    Ok(())
}

fn exit_removes_attachment() -> Result<()> {
    let puppet = caller()?;
    let task = attach(puppet.tid())?;
    let policy = Policy::new("exits", "default log")?;
    task.set("policy", "exits")?;
    ensure!(puppet.end()? == 0);
    until_none_attached()?;
    until("nobody uses the policy any more", || {
        Ok(std::fs::remove_dir(policy.path("")).is_ok())
    })
}

fn kill_removes_attachment() -> Result<()> {
    for _ in 0..20 {
        let child = spinner()?;
        let task = attach(child.pid)?;
        child.kill(libc::SIGKILL);
        ensure!(child.wait()? == 256 + libc::SIGKILL);
        until("the directory is gone", || Ok(!task.exists()))?;
    }
    until_none_attached()
}

fn zombie_has_no_attachment() -> Result<()> {
    let puppet = caller()?;
    let task = attach(puppet.tid())?;
    puppet.child.kill(libc::SIGKILL);
    puppet.child.wait_zombie()?;
    // It is in no attachment at once, and has no directory a little later.
    ensure!(detach(task.tid).is_err(), "a zombie is attached");
    until_none_attached()?;
    Ok(())
}

fn tid_reuse() -> Result<()> {
    for _ in 0..10 {
        let puppet = caller()?;
        let tid = puppet.tid();
        attach_counted(tid)?;
        puppet.child.kill(libc::SIGKILL);
        puppet.child.wait()?;

        let policy = total("entries")?;
        // The next task gets the number that is free again.
        std::fs::write("/proc/sys/kernel/ns_last_pid", (tid - 1).to_string())?;
        let mut next = caller()?;
        ensure!(next.tid() == tid, "the number was not used again");
        next.call(50)?;
        ensure!(
            total("entries")? == policy,
            "a new task with the old number is counted"
        );
        ensure!(crate::slowpath::detach(tid).is_err());
        let task = attach_counted(tid)?;
        check_counted(&mut next, task)?;
    }
    Ok(())
}

/// A child that is sent a signal by itself at each command.
fn signalled() -> Result<Puppet> {
    extern "C" fn handler(_: i32) {}
    let puppet = Puppet::new(|_| {
        process::handle(libc::SIGUSR1, 0, handler as *const ());
        process::raise(libc::SIGUSR1)
    })?;
    puppet.until_idle()?;
    Ok(puppet)
}

fn exit_classes_are_counted() -> Result<()> {
    // At the exit of one call.
    let mut puppet = signalled()?;
    let task = attach_counted(puppet.tid())?;
    ensure!(task.stat("signal")? == 0);
    puppet.call(0)?;
    ensure!(
        task.stat("signal")? == 1,
        "{} exits with a signal",
        task.stat("signal")?
    );
    Ok(())
}

fn exit_path_is_counted() -> Result<()> {
    let mut puppet = caller()?;
    let task = attach_counted(puppet.tid())?;
    puppet.call(10)?;
    ensure!(task.stat("iret")? == 0 && task.stat("sysret")? == 12);
    task.set("exit_path", "iret")?;
    ensure!(task.get("exit_path")? == "iret");
    puppet.call(10)?;
    ensure!(task.stat("iret")? == 12 && task.stat("sysret")? == 12);
    task.set("exit_path", "auto")?;
    puppet.call(10)?;
    ensure!(task.stat("iret")? == 12 && task.stat("sysret")? == 24);
    Ok(())
}

fn exits_are_counted_if_asked_for() -> Result<()> {
    const EXITS: [&str; 4] = ["exits", "sysret", "iret", "signal"];
    let mut puppet = signalled()?;
    let task = attach(puppet.tid())?;
    for exit_path in ["auto", "iret"] {
        task.set("exit_path", exit_path)?;
        let count = || {
            EXITS
                .iter()
                .map(|name| task.stat(name))
                .collect::<Result<Vec<_>>>()
        };
        let mut before = count()?;
        for counted in ["0", "1", "0"] {
            task.set("count_exits", counted)?;
            let entries = task.stat("entries")?;
            ensure!(puppet.call(0)? == 0);
            puppet.until_idle()?;
            ensure!(task.stat("entries")? > entries);
            let after = count()?;
            let more: Vec<_> = std::iter::zip(EXITS, std::iter::zip(&after, &before))
                .filter_map(|(name, (after, before))| (after > before).then_some(name))
                .collect();
            let want = match (counted, exit_path) {
                ("0", _) => vec![],
                (_, "auto") => vec!["exits", "sysret", "signal"],
                _ => vec!["exits", "iret", "signal"],
            };
            ensure!(more == want, "{exit_path}, {counted}: {more:?}");
            before = after;
        }
    }
    Ok(())
}
