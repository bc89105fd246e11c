// SPDX-License-Identifier: GPL-2.0

//! The tracepoints, as `perf`, `trace-cmd` and BPF programs get them.

use crate::{
    process::{getppid, gettid, handle, syscall, Child, Puppet},
    slowpath::{attach, detach, set, Group, Policy},
    trace::Trace,
};
use anyhow::{bail, ensure, Result};

super::tests! {
    [] =>
        events_of_attachments
        events_of_inheriting_tasks
        events_of_kills
        events_of_mode_log
        events_have_arguments
        events_none_of_allowed_calls;
    [CompatEntry] =>
        events_of_32_bit_calls;
    [FastPath] =>
        events_of_verdicts;
}

const EVENTS: &str = "syscall_slowpath";

fn events_of_attachments() -> Result<()> {
    let trace = Trace::of(EVENTS)?;
    let puppets = [
        Puppet::new(|_| 0)?,
        Puppet::new(|_| 0)?,
        Puppet::new(|_| 0)?,
    ];
    for puppet in &puppets {
        puppet.until_idle()?;
        attach(puppet.tid())?;
    }
    let [first, second, third] = puppets;
    // One by one, all at once, and by its death.
    detach(first.tid())?;
    let event =
        |what, puppet: &Puppet| format!("{what}: pid={} comm=slowpath-selfte", puppet.tid());
    third.child.kill(libc::SIGKILL);
    let (tid, died) = (third.tid(), event("detach", &third));
    third.end()?;
    set("detach", "all")?;
    let mut ours = trace.lines_of(gettid())?;
    ensure!(ours.remove(2).starts_with(&format!("attach: pid={tid} ")));
    let want = [
        event("attach", &first),
        event("attach", &second),
        event("detach", &first),
        event("detach", &second),
    ];
    ensure!(ours == want, "{ours:?}");
    ensure!(trace.lines_of(tid)? == [died]);
    Ok(())
}

fn events_of_inheriting_tasks() -> Result<()> {
    let mut puppet = Puppet::new(|_| {
        let child = Child::fork(|| 0);
        let pid = child.as_ref().map_or(-1, |child| i64::from(child.pid));
        let _ = child.and_then(Child::wait);
        pid
    })?;
    Group::of(puppet.tid())?;
    let trace = Trace::of(EVENTS)?;
    let child = puppet.call(0)?;
    ensure!(child > 0);
    let lines = trace.lines_of(puppet.tid())?;
    ensure!(
        lines.len() == 1 && lines[0].starts_with(&format!("attach: pid={child} ")),
        "{lines:?}"
    );
    let lines = trace.lines_of(child as i32)?;
    ensure!(
        lines.len() == 1 && lines[0].starts_with(&format!("detach: pid={child} ")),
        "{lines:?}"
    );
    detach(puppet.tid())
}

/// What comes of a `getppid` under each of these, but for the architecture.
fn check_verdicts(puppet: &mut Puppet, policy: &Policy, cases: &[(&str, &str)]) -> Result<()> {
    for (rule, want) in cases {
        policy.set("rules", rule)?;
        let trace = Trace::of(EVENTS)?;
        puppet.call(0)?;
        let lines = trace.lines_of(puppet.tid())?;
        let [line] = &lines[..] else {
            bail!("{rule}: {lines:?}");
        };
        let is_wanted = line.starts_with(&format!("verdict: {want} args="))
            && line.ends_with(&format!(" group=task/{}", puppet.tid()));
        ensure!(is_wanted, "{rule}: {line}");
    }
    Ok(())
}

/// Those of the program, whatever is made of the call.
fn events_have_arguments() -> Result<()> {
    let mut puppet = Puppet::new(|_| syscall(libc::SYS_getppid, [1, 2, 3, 0x44, 5, u64::MAX]))?;
    let policy = Policy::new("test", "\n")?;
    let group = Group::new("events")?;
    group.set("policy", "test")?;
    group.join(puppet.tid())?;
    for rule in ["log", "errno EPERM", "set arg0 77", "redirect getpid"] {
        policy.set("rules", &format!("getppid {rule}"))?;
        let trace = Trace::of(EVENTS)?;
        puppet.call(0)?;
        let lines = trace.lines_of(puppet.tid())?;
        let want = " args=1,2,3,44,5,ffffffffffffffff group=events";
        ensure!(lines.len() == 1 && lines[0].ends_with(want), "{lines:?}");
    }
    group.end()
}

extern "C" fn ignore(_: i32) {}

fn events_of_verdicts() -> Result<()> {
    handle(libc::SIGUSR1, 0, ignore as *const ());
    handle(libc::SIGSYS, 0, ignore as *const ());
    let mut puppet = Puppet::new(|_| getppid())?;
    let policy = Policy::new("test", "\n")?;
    attach(puppet.tid())?.set("policy", "test")?;
    let cases = [
        (
            "getppid errno EPERM",
            "arch=c000003e nr=110 action=skip value=-1",
        ),
        (
            "getppid return 4711",
            "arch=c000003e nr=110 action=skip value=4711",
        ),
        ("getppid log", "arch=c000003e nr=110 action=log value=0"),
        (
            "getppid delay 1ms",
            "arch=c000003e nr=110 action=delay value=1000000",
        ),
        (
            "getppid signal SIGUSR1",
            "arch=c000003e nr=110 action=signal value=10",
        ),
        (
            "getppid trap 77",
            "arch=c000003e nr=110 action=trap value=77",
        ),
        (
            "getppid redirect getpid",
            "arch=c000003e nr=110 action=number value=39",
        ),
        (
            "getppid set arg3 4711",
            "arch=c000003e nr=110 action=argument value=4711",
        ),
        (
            "getppid after return 5",
            "arch=c000003e nr=110 action=result value=5",
        ),
        (
            "getppid after errno EPERM",
            "arch=c000003e nr=110 action=result value=-1",
        ),
    ];
    check_verdicts(&mut puppet, &policy, &cases)?;
    detach(puppet.tid())
}

fn events_of_32_bit_calls() -> Result<()> {
    use crate::process::{Door, GETPPID};

    let mut puppet = Puppet::new(|_| Door::Int80.call(GETPPID, [0; 3]))?;
    let policy = Policy::new("test", "\n")?;
    attach(puppet.tid())?.set("policy", "test")?;
    let cases = [
        (
            "getppid errno EPERM",
            "arch=40000003 nr=64 action=skip value=-1",
        ),
        (
            "getppid redirect getpid",
            "arch=40000003 nr=64 action=number value=20",
        ),
    ];
    check_verdicts(&mut puppet, &policy, &cases)?;
    detach(puppet.tid())
}

fn events_of_kills() -> Result<()> {
    for verdict in ["kill_process", "kill_thread"] {
        let mut puppet = Puppet::new(|_| getppid())?;
        let tid = puppet.tid();
        let _policy = Policy::new("test", &format!("getppid {verdict}"))?;
        attach(tid)?.set("policy", "test")?;
        let trace = Trace::of(EVENTS)?;
        puppet.send(0)?;
        ensure!(puppet.end()? == 256 + libc::SIGSYS);
        let lines = trace.lines_of(tid)?;
        let want = format!("verdict: arch=c000003e nr=110 action={verdict} value=0 ");
        ensure!(lines.len() == 2 && lines[0].starts_with(&want), "{lines:?}");
        ensure!(lines[1].starts_with("detach: "), "{lines:?}");
    }
    Ok(())
}

/// Nothing is done to the call, and the event says no more than that.
fn events_of_mode_log() -> Result<()> {
    let mut puppet = Puppet::new(|_| getppid())?;
    let policy = Policy::new("test", "\n")?;
    policy.set("mode", "log")?;
    attach(puppet.tid())?.set("policy", "test")?;
    let want = "arch=c000003e nr=110 action=log value=0";
    let cases =
        ["errno EPERM", "kill_process", "redirect getpid"].map(|rule| format!("getppid {rule}"));
    for rule in &cases {
        check_verdicts(&mut puppet, &policy, &[(rule, want)])?;
    }
    detach(puppet.tid())
}

fn events_none_of_allowed_calls() -> Result<()> {
    let mut puppet = Puppet::new(|_| (0..100).map(|_| getppid()).sum())?;
    let _policy = Policy::new(
        "test",
        "getppid arg0 == 77 errno EPERM\nreboot kill_process",
    )?;
    attach(puppet.tid())?.set("policy", "test")?;
    let trace = Trace::of(EVENTS)?;
    puppet.call(0)?;
    ensure!(syscall(libc::SYS_getpid, [0; 6]) > 0);
    ensure!(trace.lines_of(puppet.tid())?.is_empty());
    detach(puppet.tid())
}
