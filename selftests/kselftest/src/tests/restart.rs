// SPDX-License-Identifier: GPL-2.0

//! Calls that a signal interrupts and that are made again are judged again, as any other call.

use super::verdicts::paused_with_registers;
use crate::{
    process::{self, getppid, syscall, until, until_blocked, Door, Puppet, Shared},
    seccomp::seccomp_with,
    slowpath::{attach, detach, Policy, Task},
    tracee::Tracee,
};
use anyhow::{ensure, Result};
use std::{
    fs,
    os::{fd::AsRawFd, unix::net::UnixDatagram},
    sync::atomic::{AtomicU64, Ordering::SeqCst},
};

super::tests! {
    [FastPath] =>
        restart_is_judged
        restart_after_handler_is_judged
        restart_onto_another_socket
        restart_is_counted_for_when
        no_restart_is_a_new_call
        restart_of_redirected_call
        restart_of_call_with_argument_set
        restart_with_after_is_none
        restart_by_restart_syscall
        restart_under_rules_that_refuse
        restart_under_rules_that_change
        restart_under_a_policy_of_its_own
        restart_in_mode_log
        restart_of_what_a_tracer_has_replaced;
    [Mitigations, CompatEntry, FastPath] =>
        restart_by_int80;
}

const EPERM: i64 = -(libc::EPERM as i64);
const EINTR: i64 = -(libc::EINTR as i64);

/// How often the handlers ran.
static HANDLED: Shared<AtomicU64> = Shared::new();

/// A handler that makes calls of its own.
extern "C" fn handler(_: i32) {
    getppid();
    getppid();
    HANDLED.fetch_add(1, SeqCst);
}

fn handle(signal: i32, flags: i32, handler: extern "C" fn(i32)) {
    // Mapped now, so that children share it.
    let _ = &*HANDLED;
    process::handle(signal, flags, handler as *const ());
}

/// A child in a call that only the test's rules are about: it waits for a datagram, of which it
/// takes up to 64 bytes, and replies with how many those were, or with the error.
struct Receiver {
    puppet: Puppet,
    task: Task,
    policy: Policy,
    to: UnixDatagram,
}

impl Receiver {
    fn new(rules: &str) -> Result<Self> {
        let (from, to) = UnixDatagram::pair()?;
        let mut buffer = [0u8; 64];
        let puppet = Puppet::new(move |_| {
            let fd = from.as_raw_fd() as u64;
            let buffer = &raw mut buffer as u64;
            syscall(libc::SYS_recvfrom, [fd, buffer, 64, 0, 0, 0])
        })?;
        let policy = Policy::new("test", rules)?;
        let task = attach(puppet.tid())?;
        task.set("policy", "test")?;
        let mut receiver = Self {
            puppet,
            task,
            policy,
            to,
        };
        receiver.call()?;
        Ok(receiver)
    }

    fn call(&mut self) -> Result<()> {
        self.puppet.send(0)?;
        self.until_blocked()
    }

    fn until_blocked(&self) -> Result<()> {
        until_blocked(self.puppet.tid(), libc::SYS_recvfrom)
    }

    /// Stops the child, which interrupts its call, and lets it go on.
    fn stop_and_go(&self) -> Result<()> {
        self.puppet.child.stop()?;
        self.puppet.child.go_on();
        self.until_blocked()
    }

    /// Has it handle a signal.
    fn signal(&self) -> Result<()> {
        let before = HANDLED.load(SeqCst);
        self.puppet.child.kill(libc::SIGUSR1);
        until("handled", || Ok(HANDLED.load(SeqCst) > before))
    }

    fn reply_to(&mut self, len: usize) -> Result<i64> {
        self.to.send(&vec![1; len])?;
        self.puppet.reply()
    }

    /// The call was judged so many times.
    fn ensure(&self, judged: u64) -> Result<()> {
        let hits = self.policy.hits(1)?;
        ensure!(hits == judged, "judged {hits} times, not {judged}");
        Ok(())
    }

    fn until_judged(&self, times: u64) -> Result<()> {
        until("made again", || Ok(self.policy.hits(1)? == times))?;
        self.until_blocked()
    }
}

fn restart_is_judged() -> Result<()> {
    let mut receiver = Receiver::new("recvfrom log")?;
    receiver.ensure(1)?;
    for i in 2..=4 {
        receiver.stop_and_go()?;
        receiver.ensure(i)?;
    }
    ensure!(receiver.reply_to(3)? == 3);
    receiver.ensure(4)
}

fn restart_after_handler_is_judged() -> Result<()> {
    handle(libc::SIGUSR1, libc::SA_RESTART, handler);
    let mut receiver = Receiver::new("recvfrom log\ngetppid log")?;
    for i in 1..=3 {
        receiver.signal()?;
        receiver.until_judged(1 + i)?;
        ensure!(receiver.policy.hits(2)? == 2 * i, "the handler's own calls");
    }
    ensure!(receiver.reply_to(3)? == 3);
    Ok(())
}

/// The handler puts another socket onto the descriptor. With rules that let only the first call through,
/// nothing is received from that.
fn restart_onto_another_socket() -> Result<()> {
    static FROM: AtomicU64 = AtomicU64::new(0);
    static OTHER: AtomicU64 = AtomicU64::new(0);

    extern "C" fn exchange(_: i32) {
        let (from, other) = (FROM.load(SeqCst), OTHER.load(SeqCst));
        syscall(libc::SYS_dup2, [other, from, 0, 0, 0, 0]);
        HANDLED.fetch_add(1, SeqCst);
    }

    let (from, _to) = UnixDatagram::pair()?;
    let (other, to_other) = UnixDatagram::pair()?;
    FROM.store(from.as_raw_fd() as u64, SeqCst);
    OTHER.store(other.as_raw_fd() as u64, SeqCst);
    to_other.send(&[1, 2, 3])?;
    handle(libc::SIGUSR1, libc::SA_RESTART, exchange);
    let mut buffer = [0u8; 64];
    let mut puppet = Puppet::new(move |_| {
        let (fd, buffer) = (FROM.load(SeqCst), &raw mut buffer as u64);
        syscall(libc::SYS_recvfrom, [fd, buffer, 64, 0, 0, 0])
    })?;
    let _policy = Policy::new("test", "recvfrom errno EPERM when 2+")?;
    attach(puppet.tid())?.set("policy", "test")?;
    puppet.send(0)?;
    until_blocked(puppet.tid(), libc::SYS_recvfrom)?;
    puppet.child.kill(libc::SIGUSR1);
    let result = puppet.reply()?;
    ensure!(result == EPERM, "what was refused returned {result}");
    Ok(())
}

fn restart_is_counted_for_when() -> Result<()> {
    let mut receiver = Receiver::new("recvfrom log when 1+\nrecvfrom return 5 when 3")?;
    receiver.stop_and_go()?;
    receiver.puppet.child.stop()?;
    receiver.puppet.child.go_on();
    ensure!(
        receiver.puppet.reply()? == 5,
        "the third entry is not the third"
    );
    Ok(())
}

/// A call that fails with EINTR is over. What the program does then is up to it.
fn no_restart_is_a_new_call() -> Result<()> {
    handle(libc::SIGUSR1, 0, handler);
    let mut receiver = Receiver::new("recvfrom log")?;
    for i in 1..=3 {
        receiver.ensure(i)?;
        receiver.signal()?;
        ensure!(receiver.puppet.reply()? == EINTR);
        receiver.call()?;
    }
    receiver.ensure(4)?;
    ensure!(receiver.reply_to(3)? == 3);
    Ok(())
}

/// It is changed again, and nobody sees it.
fn restart_of_redirected_call() -> Result<()> {
    handle(libc::SIGUSR1, 0, handler);
    let (mut puppet, _, policy) = paused_with_registers(libc::SYS_getpid, "getpid redirect pause")?;
    for i in 1..=3 {
        puppet.child.stop()?;
        puppet.child.go_on();
        until_blocked(puppet.tid(), libc::SYS_pause)?;
        ensure!(policy.hits(1)? == 1 + i);
    }
    puppet.child.kill(libc::SIGUSR1);
    ensure!(puppet.reply()? == 1);
    detach(puppet.tid())
}

fn restart_of_call_with_argument_set() -> Result<()> {
    handle(libc::SIGUSR1, libc::SA_RESTART, handler);
    let mut receiver = Receiver::new("recvfrom set arg2 2")?;
    receiver.stop_and_go()?;
    receiver.signal()?;
    receiver.until_judged(3)?;
    ensure!(
        receiver.reply_to(9)? == 2,
        "the argument is not what it was set to"
    );
    Ok(())
}

/// The program gets the result that it is to get, and the signal.
fn restart_with_after_is_none() -> Result<()> {
    handle(libc::SIGUSR1, libc::SA_RESTART, handler);
    let mut receiver = Receiver::new("recvfrom after return 77")?;
    receiver.signal()?;
    ensure!(receiver.puppet.reply()? == 77);
    receiver.ensure(1)
}

/// A default that refuses what no rule is for does not strand a call that goes on as this one.
fn restart_by_restart_syscall() -> Result<()> {
    handle(libc::SIGUSR1, 0, handler);
    let mut puppet = Puppet::new(|_| {
        let hour = [3600u64, 0];
        syscall(libc::SYS_nanosleep, [hour.as_ptr() as u64, 0, 0, 0, 0, 0])
    })?;
    let policy = Policy::new(
        "test",
        "nanosleep log\ndefault errno EPERM\nread allow\nwrite allow\ngetppid allow\nrt_sigreturn allow",
    )?;
    attach(puppet.tid())?.set("policy", "test")?;
    puppet.send(0)?;
    until_blocked(puppet.tid(), libc::SYS_nanosleep)?;
    for _ in 0..3 {
        puppet.child.stop()?;
        puppet.child.go_on();
        until_blocked(puppet.tid(), libc::SYS_restart_syscall)?;
    }
    ensure!(policy.hits(1)? == 1);
    puppet.child.kill(libc::SIGUSR1);
    ensure!(puppet.reply()? == EINTR, "refused");
    detach(puppet.tid())
}

/// The same call by its other number, from its other instruction.
fn restart_by_int80() -> Result<()> {
    handle(libc::SIGUSR1, 0, handler);
    let mut puppet = Puppet::new(|_| Door::Int80.call([libc::SYS_pause, 29], [0; 3]))?;
    let policy = Policy::new("test", "pause arch i386 log")?;
    let task = attach(puppet.tid())?;
    task.set("policy", "test")?;
    let stat = format!("/proc/{}/stat", puppet.tid());
    let blocked = || {
        until(
            "blocked",
            || Ok(fs::read_to_string(&stat)?.contains(") S ")),
        )
    };
    puppet.send(0)?;
    until("judged", || Ok(policy.hits(1)? == 1))?;
    for i in 1..=3 {
        blocked()?;
        puppet.child.stop()?;
        puppet.child.go_on();
        until("made again", || Ok(policy.hits(1)? == 1 + i))?;
    }
    blocked()?;
    puppet.child.kill(libc::SIGUSR1);
    ensure!(puppet.reply()? == EINTR);
    detach(puppet.tid())
}

/// Rules that came since refuse the call, whatever let it through before, and when.
fn restart_under_rules_that_refuse() -> Result<()> {
    handle(libc::SIGUSR1, libc::SA_RESTART, handler);
    for before in ["recvfrom log", "recvfrom allow", "recvfrom set arg2 2"] {
        for rules in [
            "recvfrom errno EPERM",
            "recvfrom errno EPERM when 1+",
            "default errno EPERM\nread allow\nwrite allow\nrt_sigreturn allow\ngetppid allow",
        ] {
            for (interrupted, handled) in [(false, false), (false, true), (true, true)] {
                let mut receiver = Receiver::new(before)?;
                if interrupted {
                    receiver.stop_and_go()?;
                }
                receiver.policy.set("rules", rules)?;
                if handled {
                    receiver.signal()?;
                } else {
                    receiver.puppet.child.stop()?;
                    receiver.puppet.child.go_on();
                }
                // If it is made again, it gets this.
                let result = receiver.reply_to(3)?;
                ensure!(result == EPERM, "{before}, then {rules}: {result}");
            }
        }
    }
    Ok(())
}

/// What is to be changed is what the rules say by then.
fn restart_under_rules_that_change() -> Result<()> {
    for before in ["recvfrom set arg2 2", "recvfrom log"] {
        let mut receiver = Receiver::new(before)?;
        receiver.policy.set("rules", "recvfrom set arg2 4")?;
        receiver.stop_and_go()?;
        receiver.ensure(1)?;
        ensure!(receiver.reply_to(9)? == 4, "{before}: as before");
    }
    Ok(())
}

/// A call that was made when there was no policy.
fn restart_under_a_policy_of_its_own() -> Result<()> {
    for (rules, result) in [("recvfrom log", 3), ("recvfrom errno EPERM", EPERM)] {
        let mut receiver = Receiver::new("")?;
        receiver.task.set("policy", "none")?;
        ensure!(receiver.reply_to(3)? == 3);
        receiver.call()?;
        receiver.policy.set("rules", rules)?;
        receiver.task.set("policy", "test")?;
        receiver.puppet.child.stop()?;
        receiver.to.send(&[1; 3])?;
        receiver.puppet.child.go_on();
        ensure!(receiver.puppet.reply()? == result, "{rules}");
    }
    Ok(())
}

/// Nothing is changed in this mode.
fn restart_in_mode_log() -> Result<()> {
    let mut receiver = Receiver::new("recvfrom set arg2 2")?;
    receiver.policy.set("mode", "log")?;
    receiver.stop_and_go()?;
    receiver.ensure(2)?;
    ensure!(receiver.reply_to(9)? == 9, "the argument was set");
    Ok(())
}

/// A tracer makes another call of the one that the rules have made of a call, and that is interrupted.
/// What the kernel makes again is the first one, which was never let through as it is.
fn restart_of_what_a_tracer_has_replaced() -> Result<()> {
    let tracee = Tracee::run(libc::PTRACE_O_TRACESECCOMP, || {
        let pid = i64::from(std::process::id());
        seccomp_with(libc::SYS_getpid, libc::SECCOMP_RET_TRACE, 0)?;
        ensure!(getppid() != pid, "it was redirected too early");
        let ret = getppid();
        ensure!(ret == pid, "not redirected: {ret}");
        Ok(())
    })?;
    let policy = Policy::new("test", "getppid redirect getpid when 2+")?;
    attach(tracee.0.pid)?.set("policy", "test")?;
    tracee.go_on(0)?;
    tracee.wait_event(libc::PTRACE_EVENT_SECCOMP)?;
    let mut regs = tracee.get()?;
    regs.orig_rax = libc::SYS_pause as u64;
    tracee.set(&regs)?;
    tracee.go_on(0)?;
    until_blocked(tracee.0.pid, libc::SYS_pause)?;
    tracee.0.kill(libc::SIGUSR1);
    let status = tracee.wait()?;
    ensure!(libc::WSTOPSIG(status) == libc::SIGUSR1, "{status:#x}");
    // Without the signal.
    tracee.go_on(0)?;
    tracee.wait_event(libc::PTRACE_EVENT_SECCOMP)?;
    ensure!(policy.hits(1)? == 2, "{} hits", policy.hits(1)?);
    tracee.detach()?.wait_success()
}
