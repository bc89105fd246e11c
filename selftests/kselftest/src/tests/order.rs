// SPDX-License-Identifier: GPL-2.0

//! Who sees a call before whom: syscall user dispatch, tracers, the policy, seccomp, tracepoints,
//! audit. What comes before the policy may take the call away from it, and what comes after it sees
//! what it made of the call.

use super::policy::{traced, under, SECCOMP_STOP, SYSCALL_STOP};
use crate::{
    audit::Audit,
    process::{
        getppid, gettid, handle, mount, syscall, until, until_delayed, user_dispatch, Child,
        Puppet, Shared, UserDispatch,
    },
    seccomp::{seccomp, seccomp_with},
    slowpath::{attach, detach, Policy, Task},
};
use anyhow::{ensure, Context, Result};
use std::{
    cell::RefCell,
    fs,
    sync::atomic::{AtomicU64, Ordering::SeqCst},
};

super::tests! {
    [FastPath] =>
        order_user_dispatch_before_policy
        order_policy_after_user_dispatch
        order_tracer_sees_refused_call
        order_tracer_sees_injected_result
        order_policy_hides_refused_call_from_seccomp
        order_policy_shows_seccomp_what_it_made
        order_seccomp_refuses_what_policy_gives_a_result
        order_seccomp_tracer_skips_what_policy_gives_a_result
        order_tracepoints_after_policy
        order_audit_after_policy;
    [FastPath, Cpus, Time] =>
        order_seccomp_installed_during_a_delay;
}

const EPERM: i64 = -(libc::EPERM as i64);

/// The code of the signal that the handler saw, and the selector that the kernel looks at.
static DISPATCHED: Shared<[AtomicU64; 2]> = Shared::new();

extern "C" fn dispatched(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: The kernel's, valid until the handler returns.
    let code = unsafe { (*info).si_code };
    DISPATCHED[0].store(code as u64, SeqCst);
    DISPATCHED[1].store(0, SeqCst);
}

/// Makes a `getppid` that syscall user dispatch takes, or lets through: what it returns, and the
/// code of the signal that came of it.
fn dispatch(block: bool) -> (i64, u64) {
    let selector = &DISPATCHED[1];
    handle(libc::SIGSYS, libc::SA_SIGINFO, dispatched as *const ());
    // The lowest byte.
    user_dispatch(UserDispatch::Selector(selector.as_ptr().cast()));
    selector.store(u64::from(block), SeqCst);
    let result = getppid();
    selector.store(0, SeqCst);
    user_dispatch(UserDispatch::Off);
    (result, DISPATCHED[0].load(SeqCst))
}

const SYS_USER_DISPATCH: u64 = 2;

fn order_user_dispatch_before_policy() -> Result<()> {
    let (_, policy) = under("getppid kill_process")?;
    let (_, code) = dispatch(true);
    ensure!(code == SYS_USER_DISPATCH, "not dispatched");
    ensure!(policy.hits(1)? == 0, "the policy judged it");
    Ok(())
}

fn order_policy_after_user_dispatch() -> Result<()> {
    let (_, policy) = under("getppid return 5")?;
    ensure!(dispatch(false) == (5, 0));
    ensure!(policy.hits(1)? == 1);
    Ok(())
}

/// The stops of a `gettid` under rules: at entry and at exit, the result register.
fn stops(rules: &str) -> Result<(i64, Vec<i64>)> {
    let seen = RefCell::new(Vec::new());
    let ret = traced(rules, false, libc::PTRACE_SYSCALL, |stop, regs| {
        if stop == SYSCALL_STOP && regs.orig_rax as i64 == libc::SYS_gettid {
            seen.borrow_mut().push(regs.rax as i64);
        }
        false
    })?;
    Ok((ret, seen.into_inner()))
}

const ENOSYS: i64 = -(libc::ENOSYS as i64);

fn order_tracer_sees_refused_call() -> Result<()> {
    let (ret, stops) = stops("gettid errno EPERM")?;
    ensure!(ret == EPERM && stops == [ENOSYS, EPERM], "{ret}, {stops:?}");
    Ok(())
}

fn order_tracer_sees_injected_result() -> Result<()> {
    let (ret, stops) = stops("gettid after return 77")?;
    ensure!(ret == 77 && stops == [ENOSYS, 77], "{ret}, {stops:?}");
    Ok(())
}

fn order_policy_hides_refused_call_from_seccomp() -> Result<()> {
    let (_, policy) = under("getppid errno EPERM")?;
    seccomp(libc::SYS_getppid, libc::SECCOMP_RET_KILL_PROCESS)?;
    ensure!(getppid() == EPERM && policy.hits(1)? == 1);
    Ok(())
}

fn order_policy_shows_seccomp_what_it_made() -> Result<()> {
    let (_, policy) = under("getpid redirect getppid\ngettid arg0 == 1 set arg0 2")?;
    seccomp(libc::SYS_getppid, libc::SECCOMP_RET_ERRNO | 77)?;
    ensure!(syscall(libc::SYS_getpid, [0; 6]) == -77);
    // Not what the program asked for, which is no call of the filter's.
    ensure!(syscall(libc::SYS_gettid, [1, 0, 0, 0, 0, 0]) == i64::from(gettid()));
    ensure!(policy.hits(1)? == 1);
    Ok(())
}

/// The result is that of a call that was made, and this one was not.
fn order_seccomp_refuses_what_policy_gives_a_result() -> Result<()> {
    let (_, policy) = under("getppid after return 5")?;
    ensure!(getppid() == 5);
    seccomp(libc::SYS_getppid, libc::SECCOMP_RET_ERRNO | 77)?;
    ensure!(getppid() == -77 && policy.hits(1)? == 2);
    Ok(())
}

/// By another thread, with the flag that gives it to all.
fn order_seccomp_installed_during_a_delay() -> Result<()> {
    let _policy = Policy::new("test", "getppid delay 3600s")?;
    let child = Child::run(|| {
        let tid = AtomicU64::new(0);
        std::thread::scope(|scope| {
            let delayed = scope.spawn(|| {
                tid.store(gettid() as u64, SeqCst);
                attach(gettid())?.set("policy", "test")?;
                Ok::<_, anyhow::Error>(getppid())
            });
            until("a thread", || Ok(tid.load(SeqCst) != 0))?;
            let tid = tid.load(SeqCst) as i32;
            until_delayed(tid, libc::SYS_getppid)?;
            seccomp_with(
                libc::SYS_getppid,
                libc::SECCOMP_RET_ERRNO | 77,
                libc::SECCOMP_FILTER_FLAG_TSYNC,
            )?;
            Task { tid }.set("policy", "none")?;
            let result = delayed.join().expect("the thread does not panic")?;
            ensure!(result == -77, "made without the filter: {result}");
            Ok(())
        })
    })?;
    child.wait_success()
}

/// At its stop it makes -1 of the number, and the result is its own.
fn order_seccomp_tracer_skips_what_policy_gives_a_result() -> Result<()> {
    for rules in ["gettid after return 5", "gettid log"] {
        let ret = traced(rules, true, libc::PTRACE_CONT, |stop, regs| {
            let skip = stop == SECCOMP_STOP && regs.orig_rax as i64 == libc::SYS_gettid;
            if skip {
                regs.orig_rax = u64::MAX;
                regs.rax = 66;
            }
            skip
        })?;
        ensure!(ret == 66, "{rules}: {ret}");
    }
    Ok(())
}

/// A child that makes a `getpid`, a `getppid` and a `gettid`.
fn caller() -> Result<Puppet> {
    Puppet::new(|_| {
        for nr in [libc::SYS_getpid, libc::SYS_getppid, libc::SYS_gettid] {
            syscall(nr, [4711, 0, 0, 0, 0, 0]);
        }
        0
    })
}

const RULES: &str = "getpid redirect sched_yield\ngetppid errno EPERM\ngettid after return 77\n\
                     gettid set arg0 1";

fn order_tracepoints_after_policy() -> Result<()> {
    const TRACEFS: &str = "/sys/kernel/tracing";
    let set = |file: &str, value: &str| {
        let file = format!("{TRACEFS}/{file}");
        fs::write(&file, value).context(file)
    };
    mount(
        c"tracefs",
        c"/sys/kernel/tracing",
        &format!("{TRACEFS}/trace"),
    )?;

    let mut puppet = caller()?;
    let _policy = Policy::new("test", RULES)?;
    attach(puppet.tid())?.set("policy", "test")?;
    puppet.until_idle()?;
    set("trace", "")?;
    set("set_event_pid", &puppet.tid().to_string())?;
    set("events/raw_syscalls/enable", "1")?;
    let called = puppet.call(0);
    set("events/raw_syscalls/enable", "0")?;
    set("set_event_pid", "")?;
    let trace = fs::read_to_string(format!("{TRACEFS}/trace"))?;
    set("trace", "")?;
    called?;
    detach(puppet.tid())?;

    let events: Vec<&str> = trace
        .lines()
        .filter_map(|line| line.split_once("sys_").map(|(_, event)| event.trim_end()))
        .filter(|event| !event.contains("NR 0 ") && !event.contains("NR 1 "))
        .collect();
    let yields = |event: &&&str| event.contains(&format!("NR {} ", libc::SYS_sched_yield));
    // What it was made at entry; at exit the registers are the program's again.
    ensure!(events.iter().filter(yields).count() == 1, "{events:?}");
    let pid = |event: &str| event == format!("exit: NR {} = 0", libc::SYS_getpid);
    ensure!(events.iter().any(|e| pid(e)), "{events:?}");
    // A refused call is not entered, but its exit is one like any other.
    let refused = format!("enter: NR {} ", libc::SYS_getppid);
    ensure!(
        !events.iter().any(|e| e.starts_with(&refused)),
        "{events:?}"
    );
    let exit = format!("exit: NR {} = {EPERM}", libc::SYS_getppid);
    ensure!(events.contains(&&*exit), "{events:?}");
    // The stricter of the two verdicts.
    let enter = format!("enter: NR {} (1, ", libc::SYS_gettid);
    ensure!(events.iter().any(|e| e.starts_with(&enter)), "{events:?}");
    Ok(())
}

fn order_audit_after_policy() -> Result<()> {
    let audit = Audit::of_calls(&[
        libc::SYS_getpid,
        libc::SYS_getppid,
        libc::SYS_gettid,
        libc::SYS_sched_yield,
    ])?;
    // Made since, or audit would know nothing of it.
    let mut puppet = caller()?;
    let _policy = Policy::new("test", RULES)?;
    attach(puppet.tid())?.set("policy", "test")?;
    puppet.call(0)?;
    detach(puppet.tid())?;
    let records = audit.records(puppet.tid(), libc::SYS_gettid)?;

    let calls: Vec<i64> = records.iter().map(|record| record.syscall).collect();
    ensure!(
        calls == [libc::SYS_sched_yield, libc::SYS_gettid],
        "not what was made: {calls:?}"
    );
    ensure!(records[1].first_argument == 1, "not as it was made");
    Ok(())
}
