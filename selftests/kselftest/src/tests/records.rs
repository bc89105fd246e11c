// SPDX-License-Identifier: GPL-2.0

//! The audit records of what is done to tasks.

use super::bad_input::keep_only_sys_admin;
use crate::{
    audit::Audit,
    process::{getppid, gettid, handle, syscall, Child, Puppet},
    slowpath::{attach, detach, set, Policy},
};
use anyhow::{ensure, Result};

super::tests! {
    [] =>
        audit_of_attaching
        audit_of_refused_attaching
        audit_of_policies
        audit_of_switches
        audit_of_kills
        audit_of_verdicts
        audit_of_mode_log;
}

const AUDIT_CONFIG_CHANGE: u16 = 1305;
const AUDIT_SECCOMP: u16 = 1326;

fn audit() -> Result<Audit> {
    Audit::of_calls(&[libc::SYS_vhangup])
}

fn until_changed(audit: &Audit, op: &str, words: &[&str]) -> Result<()> {
    let op = format!("op=syscall-slowpath-{op}");
    let pid = format!("pid={}", std::process::id());
    audit.until_record(AUDIT_CONFIG_CHANGE, &[&[&*op, &*pid], words].concat())
}

fn audit_of_attaching() -> Result<()> {
    let audit = audit()?;
    let puppet = Puppet::new(|_| 0)?;
    let whom = format!("opid={}", puppet.tid());
    attach(puppet.tid())?;
    until_changed(
        &audit,
        "attach",
        &[&whom, "ocomm=\"slowpath-selfte\"", "res=1"],
    )?;
    detach(puppet.tid())?;
    until_changed(&audit, "detach", &[&whom, "res=1"])?;
    set("detach", "all")?;
    until_changed(&audit, "detach-all", &["res=1"])
}

fn audit_of_refused_attaching() -> Result<()> {
    let audit = audit()?;
    let me = gettid();
    let child = Child::fork(|| {
        let refused = keep_only_sys_admin() && set("attach", me.to_string()).is_err();
        i32::from(!refused)
    })?;
    let (op, who) = ("op=syscall-slowpath-attach", format!("pid={}", child.pid));
    let words = [op, &who, &format!("opid={me}"), "res=0"];
    audit.until_record(AUDIT_CONFIG_CHANGE, &words)?;
    ensure!(child.wait()? == 0);
    Ok(())
}

fn audit_of_policies() -> Result<()> {
    let audit = audit()?;
    let policy = Policy::new("web", "getppid log")?;
    until_changed(&audit, "rules", &["name=\"web\"", "res=1"])?;
    policy.set("mode", "log")?;
    until_changed(&audit, "mode-log", &["name=\"web\"", "res=1"])?;
    policy.set("mode", "enforce")?;
    until_changed(&audit, "mode-enforce", &["name=\"web\"", "res=1"])?;
    let task = attach(gettid())?;
    task.set("policy", "web")?;
    let name = format!("name=\"{}:web\"", gettid());
    until_changed(&audit, "policy", &[&name, "res=1"])?;
    task.set("policy", "none")?;
    let name = format!("name=\"{}:none\"", gettid());
    until_changed(&audit, "policy", &[&name, "res=1"])
}

fn audit_of_switches() -> Result<()> {
    let audit = audit()?;
    let task = attach(gettid())?;
    for switch in ["0", "1"] {
        task.set("enabled", switch)?;
        let name = format!("name=\"{}:{switch}\"", gettid());
        until_changed(&audit, "enabled", &[&name, "res=1"])?;
    }
    set("enabled", "0")?;
    until_changed(&audit, "disable-all", &["res=1"])?;
    set("enabled", "1")?;
    until_changed(&audit, "enable-all", &["res=1"])
}

/// As those of seccomp, which the records name.
fn audit_of_kills() -> Result<()> {
    let audit = audit()?;
    let mut all = Vec::new();
    for rule in ["kill_process", "kill_process audit"] {
        let _policy = Policy::new("test", &format!("getppid {rule}"))?;
        let mut puppet = Puppet::new(|_| getppid())?;
        attach(puppet.tid())?.set("policy", "test")?;
        puppet.send(0)?;
        let who = format!("pid={}", puppet.tid());
        let call = format!("syscall={}", libc::SYS_getppid);
        let words = [&*who, "sig=31", &call, "code=0x80000000"];
        all.extend(audit.up_to_record(AUDIT_SECCOMP, &words)?);
        ensure!(puppet.child.wait_raw()? & 0x7f == libc::SIGSYS);
    }
    // One of each, and no more of the first.
    ensure!(all.len() == 2, "{all:?}");
    Ok(())
}

/// A child that makes a getppid, and a getuid by the command `LAST`.
fn judged() -> Result<Puppet> {
    handle(libc::SIGSYS, 0, ignore as *const ());
    handle(libc::SIGUSR1, 0, ignore as *const ());
    Puppet::new(|command| match command {
        LAST => syscall(libc::SYS_getuid, [0; 6]),
        _ => getppid(),
    })
}

const LAST: u8 = 1;

extern "C" fn ignore(_: i32) {}

/// The records that there are of a child's getppid under a rule have these codes.
fn check_records(
    audit: &Audit,
    policy: &Policy,
    puppet: &mut Puppet,
    rule: &str,
    codes: &[u32],
) -> Result<()> {
    policy.set("rules", &format!("getppid {rule}\ngetuid audit"))?;
    puppet.call(0)?;
    puppet.call(LAST)?;
    let who = format!("pid={}", puppet.tid());
    let last = format!("syscall={}", libc::SYS_getuid);
    let mut lines = audit.up_to_record(AUDIT_SECCOMP, &[&who, &last])?;
    lines.retain(|line| line.split_whitespace().any(|word| word == who));
    ensure!(lines.len() == codes.len() + 1, "{rule}: {lines:?}");
    for (line, code) in lines.iter().zip(codes) {
        let call = format!("syscall={}", libc::SYS_getppid);
        let code = format!("code={code:#x}");
        for word in ["sig=0", "arch=c000003e", &call, "compat=0", &code] {
            let has = line.split_whitespace().any(|had| had == word);
            ensure!(has, "{rule}: no {word} in {line}");
        }
    }
    Ok(())
}

fn audit_of_verdicts() -> Result<()> {
    let audit = audit()?;
    let policy = Policy::new("test", "\n")?;
    let mut puppet = judged()?;
    attach(puppet.tid())?.set("policy", "test")?;
    for (rule, code) in [
        ("audit", libc::SECCOMP_RET_LOG),
        ("allow audit", libc::SECCOMP_RET_LOG),
        ("log", libc::SECCOMP_RET_LOG),
        ("log audit", libc::SECCOMP_RET_LOG),
        ("delay 1ms audit", libc::SECCOMP_RET_LOG),
        ("after delay 1ms audit", libc::SECCOMP_RET_LOG),
        ("signal SIGUSR1 audit", libc::SECCOMP_RET_LOG),
        ("after errno EIO audit", libc::SECCOMP_RET_LOG),
        ("audit redirect getpid", libc::SECCOMP_RET_LOG),
        ("errno EPERM audit", libc::SECCOMP_RET_ERRNO),
        ("errno EPERM delay 1ms audit", libc::SECCOMP_RET_ERRNO),
        ("return 77 audit", libc::SECCOMP_RET_ERRNO),
        ("trap 5 audit", libc::SECCOMP_RET_TRAP),
    ] {
        check_records(&audit, &policy, &mut puppet, rule, &[code])?;
    }
    // Who does not ask for one has none.
    for rule in [
        "allow",
        "errno EPERM",
        "delay 1ms signal SIGUSR1 return 3",
        "after errno EIO",
        "trap",
    ] {
        check_records(&audit, &policy, &mut puppet, rule, &[])?;
    }
    Ok(())
}

/// Of what would have become of it.
fn audit_of_mode_log() -> Result<()> {
    let audit = audit()?;
    let policy = Policy::new("test", "\n")?;
    policy.set("mode", "log")?;
    let mut puppet = judged()?;
    attach(puppet.tid())?.set("policy", "test")?;
    for (rule, code) in [
        ("log", libc::SECCOMP_RET_LOG),
        ("errno EPERM", libc::SECCOMP_RET_ERRNO),
        ("errno EPERM audit", libc::SECCOMP_RET_ERRNO),
        ("trap 5 signal SIGUSR1", libc::SECCOMP_RET_TRAP),
        ("kill_thread", libc::SECCOMP_RET_KILL_THREAD),
        ("kill_process", libc::SECCOMP_RET_KILL_PROCESS),
    ] {
        check_records(&audit, &policy, &mut puppet, rule, &[code])?;
    }
    check_records(&audit, &policy, &mut puppet, "allow", &[])
}
