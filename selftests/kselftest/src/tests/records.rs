// SPDX-License-Identifier: GPL-2.0

//! The audit records of what is done to tasks.

use super::bad_input::keep_only_sys_admin;
use crate::{
    audit::Audit,
    process::{getppid, gettid, Child, Puppet},
    slowpath::{attach, detach, set, Policy},
};
use anyhow::{ensure, Result};

super::tests! {
    [] =>
        audit_of_attaching
        audit_of_refused_attaching
        audit_of_policies
        audit_of_switches
        audit_of_kills;
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
    let _policy = Policy::new("test", "getppid kill_process")?;
    let mut puppet = Puppet::new(|_| getppid())?;
    attach(puppet.tid())?.set("policy", "test")?;
    puppet.send(0)?;
    let who = format!("pid={}", puppet.tid());
    let call = format!("syscall={}", libc::SYS_getppid);
    let words = [&*who, "sig=31", &call, "code=0x80000000"];
    audit.until_record(AUDIT_SECCOMP, &words)?;
    ensure!(puppet.child.wait_raw()? & 0x7f == libc::SIGSYS);
    Ok(())
}
