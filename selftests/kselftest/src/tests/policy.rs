// SPDX-License-Identifier: GPL-2.0

//! Policies: what they do to calls, and how they are replaced.

use crate::{
    process::{getppid, gettid, raise, syscall, Child, Puppet},
    seccomp::seccomp,
    slowpath::{attach, detach, total, Policy},
    tracee::Tracee,
};
use anyhow::{ensure, Result};
use std::{
    fs,
    io::{Read, Write},
};

super::tests! {
    [FastPath] =>
        policy_errno
        policy_return
        policy_log_is_made
        policy_allow
        policy_strictest_wins
        policy_default
        policy_of_unknown_number
        policy_refused_call_has_no_effect
        policy_mode_log
        policy_switched
        policy_none
        policy_follows_detach
        policy_toggle_keeps_policy
        policy_hits
        policy_counters
        policy_seccomp_still_judges
        policy_before_seccomp
        policy_judges_what_a_tracer_made
        policy_judges_what_a_seccomp_tracer_made
        policy_judges_an_argument_that_a_tracer_made
        policy_judges_what_a_tracer_restarts
        policy_leaves_what_a_tracer_skipped;
    [] =>
        policy_closes_io_uring
        policy_rmdir_in_use
        policy_reads_back
        policy_failed_write_keeps_rules;
    [Cpus] =>
        policy_shared_by_attachments;
    [FastPath, Cpus] =>
        policy_replaced_while_attached
        policy_replaced_at_full_speed;
}

const EPERM: i64 = -(libc::EPERM as i64);

/// Attaches this process with a policy.
pub(super) fn under(rules: &str) -> Result<(crate::slowpath::Task, Policy)> {
    let policy = Policy::new("test", rules)?;
    let task = attach(gettid())?;
    task.set("policy", "test")?;
    ensure!(task.get("policy")? == "test");
    Ok((task, policy))
}

fn policy_errno() -> Result<()> {
    let _under = under("getppid errno EPERM")?;
    for _ in 0..100 {
        ensure!(getppid() == EPERM);
    }
    Ok(())
}

fn policy_return() -> Result<()> {
    let _under = under("getppid return 4242\nsched_yield return -3")?;
    ensure!(getppid() == 4242);
    ensure!(syscall(libc::SYS_sched_yield, [0; 6]) == -3);
    Ok(())
}

fn policy_log_is_made() -> Result<()> {
    let ppid = getppid();
    let (task, policy) = under("getppid log")?;
    ensure!(getppid() == ppid);
    ensure!(task.stat("log")? == 1 && policy.hits(1)? == 1);
    Ok(())
}

fn policy_allow() -> Result<()> {
    let ppid = getppid();
    let (_, policy) = under("getppid allow")?;
    ensure!(getppid() == ppid);
    ensure!(policy.hits(1)? == 1);
    Ok(())
}

fn policy_strictest_wins() -> Result<()> {
    let _under = under("getppid errno EPERM\ngetppid allow\ngetppid return 1\ngetppid log")?;
    ensure!(getppid() == EPERM);
    Ok(())
}

fn policy_default() -> Result<()> {
    // Everything that taking it off again needs is allowed; nothing else is.
    let rules = "default errno EPERM\nopenat allow\nwrite allow\nclose allow\nread allow\n\
                 exit_group allow\nbrk allow\nmmap allow\nmunmap allow\nfstat allow\nstatx allow\n\
                 lseek allow\nrt_sigprocmask allow\ngetdents64 allow\nrmdir allow\nunlinkat allow\n\
                 newfstatat allow\nfcntl allow\nsigaltstack allow\nioctl allow";
    let (task, policy) = under(rules)?;
    ensure!(getppid() == EPERM);
    ensure!(syscall(libc::SYS_sched_yield, [0; 6]) == EPERM);
    task.set("policy", "none")?;
    ensure!(getppid() > 0);
    ensure!(policy.hits(0)? >= 2);
    Ok(())
}

fn policy_of_unknown_number() -> Result<()> {
    let enosys = -i64::from(libc::ENOSYS);
    let (task, policy) = under("511 return 5")?;
    ensure!(syscall(511, [0; 6]) == 5);
    ensure!(syscall(512, [0; 6]) == enosys);
    ensure!(syscall(-1, [0; 6]) == enosys);
    ensure!(syscall(-2, [0; 6]) == enosys);
    let entries = task.stat("entries")?;
    ensure!(entries > 3 && policy.hits(1)? == 1);
    Ok(())
}

fn policy_refused_call_has_no_effect() -> Result<()> {
    let directory = "/tmp/slowpath-refused";
    let _ = fs::remove_dir(directory);
    let (task, policy) = under("mkdir errno EACCES")?;
    let error = fs::create_dir(directory)
        .err()
        .and_then(|e| e.raw_os_error());
    task.set("policy", "none")?;
    drop(policy);
    ensure!(error == Some(libc::EACCES), "{error:?}");
    ensure!(fs::metadata(directory).is_err(), "the directory was made");
    fs::create_dir(directory)?;
    fs::remove_dir(directory)?;
    Ok(())
}

fn policy_mode_log() -> Result<()> {
    let ppid = getppid();
    let (task, policy) = under("getppid errno EPERM")?;
    ensure!(policy.get("mode")? == "enforce");
    policy.set("mode", "log")?;
    ensure!(policy.get("mode")? == "log");
    ensure!(getppid() == ppid);
    ensure!(
        policy.hits(1)? == 1 && task.stat("errno")? == 1,
        "not counted"
    );
    policy.set("mode", "enforce")?;
    ensure!(getppid() == EPERM);
    Ok(())
}

fn policy_replaced_while_attached() -> Result<()> {
    let ppid = getppid();
    let (_, policy) = under("")?;
    for value in 1..200 {
        policy.set("rules", &format!("getppid return {value}"))?;
        ensure!(getppid() == value);
    }
    policy.set("rules", "\n")?;
    ensure!(getppid() == ppid);
    Ok(())
}

/// No call is judged by two versions: each of them allows `getppid` with 8, the one by its default,
/// the other by a rule; and neither the default of the one with the rules of the other does. Nor by
/// an old one, once a new one was seen.
fn policy_replaced_at_full_speed() -> Result<()> {
    const VERSIONS: i64 = 300;

    let rules = |version: i64| {
        let errno = 1000 + version;
        if version % 2 == 0 {
            format!("getppid arg0 == 7 errno {errno}")
        } else {
            format!(
                "getppid arg0 == 9 errno {errno} when 3\ngetppid arg0 == 8 allow\n\
                 getppid arg0 == 7 errno {errno}\ndefault errno EDOM\n\
                 read allow\nwrite allow\nsched_yield allow\nexit_group allow"
            )
        }
    };
    let policy = Policy::new("test", &rules(0))?;
    let mut puppets = Vec::new();
    for _ in 0..8 {
        let puppet = Puppet::new(|_| {
            let call = |arg| syscall(libc::SYS_getppid, [arg, 0, 0, 0, 0, 0]);
            let ppid = call(8);
            let mut last = 0;
            loop {
                if call(8) != ppid {
                    return -1;
                }
                let version = -call(7) - 1000;
                if version < last {
                    return -2;
                }
                if version == VERSIONS {
                    return 0;
                }
                last = version;
            }
        })?;
        attach(puppet.tid())?.set("policy", "test")?;
        puppets.push(puppet);
    }
    for puppet in &mut puppets {
        puppet.send(0)?;
    }
    for version in 1..=VERSIONS {
        policy.set("rules", &rules(version))?;
    }
    for puppet in &mut puppets {
        let result = puppet.reply()?;
        ensure!(result == 0, "{result}");
        detach(puppet.tid())?;
    }
    Ok(())
}

fn policy_closes_io_uring() -> Result<()> {
    let mut params = [0u64; 15];
    let setup = [4, params.as_mut_ptr() as u64, 0, 0, 0, 0];
    let _under = under("io_uring_setup errno EPERM")?;
    ensure!(syscall(libc::SYS_io_uring_setup, setup) == EPERM);
    Ok(())
}

fn policy_switched() -> Result<()> {
    let _one = Policy::new("one", "getppid return 1")?;
    let _two = Policy::new("two", "getppid return 2")?;
    let task = attach(gettid())?;
    for _ in 0..50 {
        task.set("policy", "one")?;
        ensure!(getppid() == 1);
        task.set("policy", "two")?;
        ensure!(getppid() == 2);
    }
    task.set("policy", "none")
}

fn policy_none() -> Result<()> {
    let ppid = getppid();
    let (task, policy) = under("getppid errno EPERM")?;
    ensure!(getppid() == EPERM);
    task.set("policy", "none")?;
    ensure!(task.get("policy")? == "none");
    ensure!(getppid() == ppid);
    fs::remove_dir(policy.path(""))?;
    Ok(())
}

fn policy_shared_by_attachments() -> Result<()> {
    let policy = Policy::new("test", "getppid return 9")?;
    let mut puppets = Vec::new();
    for _ in 0..5 {
        let puppet = Puppet::new(|_| getppid())?;
        attach(puppet.tid())?.set("policy", "test")?;
        puppets.push(puppet);
    }
    for puppet in &mut puppets {
        ensure!(puppet.call(0)? == 9);
    }
    policy.set("rules", "getppid return 10")?;
    for puppet in &mut puppets {
        ensure!(puppet.call(0)? == 10);
    }
    Ok(())
}

fn policy_follows_detach() -> Result<()> {
    let ppid = getppid();
    let (_, policy) = under("getppid errno EPERM")?;
    detach(gettid())?;
    ensure!(getppid() == ppid);
    let task = attach(gettid())?;
    ensure!(task.get("policy")? == "none");
    ensure!(getppid() == ppid);
    fs::remove_dir(policy.path(""))?;
    Ok(())
}

fn policy_toggle_keeps_policy() -> Result<()> {
    let ppid = getppid();
    let (task, _policy) = under("getppid errno EPERM")?;
    task.set("enabled", "0")?;
    ensure!(getppid() == ppid);
    task.set("enabled", "1")?;
    ensure!(getppid() == EPERM);
    Ok(())
}

fn policy_rmdir_in_use() -> Result<()> {
    let (task, policy) = under("getppid errno EPERM")?;
    let error = fs::remove_dir(policy.path(""))
        .err()
        .and_then(|e| e.raw_os_error());
    ensure!(error == Some(libc::EBUSY), "{error:?}");
    ensure!(getppid() == EPERM);
    task.set("policy", "none")?;
    fs::remove_dir(policy.path(""))?;
    Ok(())
}

fn policy_reads_back() -> Result<()> {
    let policy = Policy::new(
        "test",
        "# why\n257  errno   2\nopenat errno EACCES\n\ndefault\tlog\n511 allow\nread return -0x10",
    )?;
    let canonical = "default log\nopenat arch x86_64 errno ENOENT\nopenat errno EACCES\n\
         511 arch x86_64 allow\nread return -16";
    ensure!(
        policy.get("rules")? == canonical,
        "{}",
        policy.get("rules")?
    );
    policy.set("rules", canonical)?;
    ensure!(policy.get("rules")? == canonical);
    Ok(())
}

fn policy_hits() -> Result<()> {
    let (_, policy) = under("getppid errno EPERM\nsched_yield allow\ngetppid log")?;
    for _ in 0..5 {
        getppid();
    }
    for _ in 0..3 {
        syscall(libc::SYS_sched_yield, [0; 6]);
    }
    let hits = (policy.hits(1)?, policy.hits(2)?, policy.hits(3)?);
    ensure!(hits == (5, 3, 0), "{hits:?}");
    ensure!(policy.hits(0)? > 0);
    // New rules start anew, and those that are the same go on, wherever they are now.
    let default = policy.hits(0)?;
    policy.set(
        "rules",
        "sched_yield allow # x\ngetppid errno EIO\ngetppid  errno 1\ngetppid errno EPERM",
    )?;
    let hits = [1, 2, 3, 4].map(|line| policy.hits(line).unwrap_or(99));
    ensure!(hits == [3, 0, 5, 0], "{hits:?}");
    ensure!(policy.hits(0)? >= default);
    policy.set("rules", "getppid errno EIO")?;
    ensure!(policy.hits(1)? == 0);
    Ok(())
}

fn policy_counters() -> Result<()> {
    let before = total("errno")?;
    let (task, _policy) = under("getppid errno EPERM\ngettid return 1\nsched_yield log")?;
    for _ in 0..7 {
        getppid();
    }
    for _ in 0..5 {
        syscall(libc::SYS_gettid, [0; 6]);
    }
    for _ in 0..3 {
        syscall(libc::SYS_sched_yield, [0; 6]);
    }
    let counts = (task.stat("errno")?, task.stat("return")?, task.stat("log")?);
    ensure!(counts == (7, 5, 3), "{counts:?}");
    ensure!(total("errno")? - before == 7);
    Ok(())
}

fn policy_failed_write_keeps_rules() -> Result<()> {
    let (_, policy) = under("getppid errno EPERM")?;
    for bad in [
        "getppid",
        "getppid errno EPERM x",
        "nosuchcall allow",
        "getppid allow\n\0",
    ] {
        ensure!(policy.set("rules", bad).is_err(), "{bad:?} was taken");
        ensure!(getppid() == EPERM);
        ensure!(policy.get("rules")? == "default allow\ngetppid errno EPERM");
    }
    Ok(())
}

fn policy_seccomp_still_judges() -> Result<()> {
    let _under = under("getppid allow")?;
    seccomp(libc::SYS_getppid, libc::SECCOMP_RET_ERRNO | 77)?;
    ensure!(getppid() == -77);
    Ok(())
}

fn policy_before_seccomp() -> Result<()> {
    let (_, policy) = under("getppid return 5")?;
    seccomp(libc::SYS_getppid, libc::SECCOMP_RET_ERRNO | 77)?;
    ensure!(getppid() == 5, "seccomp was first");
    policy.set("rules", "\n")?;
    ensure!(getppid() == -77);
    Ok(())
}

/// Makes a `gettid` in a traced child under the policy; `f` is called at each of its stops until the
/// child ends, with the kind of the stop. Returns what the call returned in the child.
pub(super) fn traced(
    rules: &str,
    under_seccomp: bool,
    resume: libc::c_uint,
    f: impl Fn(i32, &mut libc::user_regs_struct) -> bool,
) -> Result<i64> {
    let _policy = Policy::new("test", rules)?;
    let (mut result, mut result_out) = crate::process::pipe()?;
    let child = Child::fork(|| {
        syscall(
            libc::SYS_ptrace,
            [libc::PTRACE_TRACEME.into(), 0, 0, 0, 0, 0],
        );
        raise(libc::SIGSTOP);
        if under_seccomp && seccomp(libc::SYS_gettid, libc::SECCOMP_RET_TRACE).is_err() {
            return 1;
        }
        let ret = syscall(libc::SYS_gettid, [0; 6]);
        i32::from(result_out.write_all(&ret.to_ne_bytes()).is_err())
    })?;
    let tracee = Tracee(child);
    tracee.wait()?;
    let options = libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_TRACESECCOMP;
    tracee.request(libc::PTRACE_SETOPTIONS, options as usize)?;
    attach(tracee.0.pid)?.set("policy", "test")?;
    loop {
        tracee.request(resume, 0)?;
        let status = tracee.wait_any()?;
        if libc::WIFEXITED(status) {
            ensure!(libc::WEXITSTATUS(status) == 0, "the child failed");
            break;
        }
        let mut regs = tracee.get()?;
        if f(status >> 8, &mut regs) {
            tracee.set(&regs)?;
        }
    }
    std::mem::forget(tracee);
    let mut bytes = [0; 8];
    result.read_exact(&mut bytes)?;
    Ok(i64::from_ne_bytes(bytes))
}

pub(super) const SYSCALL_STOP: i32 = libc::SIGTRAP | 0x80;
pub(super) const SECCOMP_STOP: i32 = libc::SIGTRAP | libc::PTRACE_EVENT_SECCOMP << 8;

/// Turns `gettid` into another call, at its entry.
fn change_gettid(stop: i32, kind: i32, regs: &mut libc::user_regs_struct, nr: i64) -> bool {
    let entry = regs.rax as i64 == -i64::from(libc::ENOSYS);
    if stop == kind && entry && regs.orig_rax as i64 == libc::SYS_gettid {
        regs.orig_rax = nr as u64;
        return true;
    }
    false
}

fn policy_judges_what_a_tracer_made() -> Result<()> {
    for (rules, want) in [
        ("getppid errno EPERM", EPERM),
        ("gettid errno EPERM", i64::from(gettid())),
    ] {
        let ret = traced(rules, false, libc::PTRACE_SYSCALL, |stop, regs| {
            change_gettid(stop, SYSCALL_STOP, regs, libc::SYS_getppid)
        })?;
        ensure!(ret == want, "{rules}: {ret}");
    }
    Ok(())
}

/// The tracer comes after the policy here: what it makes of the call is judged again.
fn policy_judges_what_a_seccomp_tracer_made() -> Result<()> {
    for (rules, want) in [
        ("getppid errno EPERM", EPERM),
        ("getppid log", i64::from(gettid())),
    ] {
        let ret = traced(rules, true, libc::PTRACE_CONT, |stop, regs| {
            change_gettid(stop, SECCOMP_STOP, regs, libc::SYS_getppid)
        })?;
        ensure!(ret == want, "{rules}: {ret}");
    }
    Ok(())
}

fn policy_judges_an_argument_that_a_tracer_made() -> Result<()> {
    let stops = [
        (false, libc::PTRACE_SYSCALL, SYSCALL_STOP),
        (true, libc::PTRACE_CONT, SECCOMP_STOP),
    ];
    for (under_seccomp, resume, kind) in stops {
        for (argument, refused) in [(7, true), (8, false)] {
            let rules = "gettid arg0 == 7 errno EPERM";
            let ret = traced(rules, under_seccomp, resume, |stop, regs| {
                let entry = regs.rax as i64 == -i64::from(libc::ENOSYS);
                let change = stop == kind && entry && regs.orig_rax as i64 == libc::SYS_gettid;
                if change {
                    regs.rdi = argument;
                }
                change
            })?;
            ensure!(
                (ret == EPERM) == refused,
                "stop {kind:#x}, {argument}: {ret}"
            );
        }
    }
    Ok(())
}

/// A tracer that emulates calls shows the exit a forbidden call that is to be restarted. It was
/// never let through, so that it must be judged when it is made.
fn policy_judges_what_a_tracer_restarts() -> Result<()> {
    const PTRACE_SYSEMU: u32 = 31;

    for attached_before in [true, false] {
        let _policy = Policy::new("test", "getppid errno EPERM")?;
        let mut puppet = Puppet::new(|_| syscall(libc::SYS_getpid, [0; 6]))?;
        puppet.until_idle()?;
        let tid = puppet.tid();
        let put = || attach(tid)?.set("policy", "test");
        if attached_before {
            put()?;
        }
        let tracee = Tracee::seize(Child { pid: tid }, libc::PTRACE_O_TRACESYSGOOD)?;
        tracee.interrupt()?;
        puppet.send(0)?;
        // Out of the call that it waits in, and on to the one that is to be emulated.
        let mut regs = tracee.get()?;
        while regs.orig_rax as i64 != libc::SYS_getpid {
            tracee.request(libc::PTRACE_SYSCALL, 0)?;
            tracee.wait()?;
            regs = tracee.get()?;
            if regs.orig_rax as i64 == libc::SYS_read && regs.rax == 1 {
                tracee.request(PTRACE_SYSEMU, 0)?;
                tracee.wait()?;
                regs = tracee.get()?;
            }
        }
        if !attached_before {
            put()?;
        }
        regs.orig_rax = libc::SYS_getppid as u64;
        regs.rax = -512i64 as u64;
        tracee.set(&regs)?;
        puppet.child.kill(libc::SIGUSR1);
        tracee.go_on(0)?;
        let status = tracee.wait()?;
        ensure!(libc::WSTOPSIG(status) == libc::SIGUSR1, "{status:#x}");
        std::mem::forget(tracee.detach()?);
        let ret = puppet.reply()?;
        ensure!(ret == EPERM, "attached before: {attached_before}: {ret}");
        puppet.end()?;
    }
    Ok(())
}

fn policy_leaves_what_a_tracer_skipped() -> Result<()> {
    let enosys = -i64::from(libc::ENOSYS);
    let rules = "default errno EPERM\nwrite allow\nexit_group allow\ngettid allow";
    let ret = traced(rules, false, libc::PTRACE_SYSCALL, |stop, regs| {
        change_gettid(stop, SYSCALL_STOP, regs, -1)
    })?;
    ensure!(ret == enosys, "{ret}");
    Ok(())
}
