// SPDX-License-Identifier: GPL-2.0

//! No way out by new tasks, nor by the end of others.

use super::escape::{
    calls, child_tries, count, no_way_out, run, try_call, until_gone, CLONE_NEWTIME, NAMESPACES,
};
use crate::process::{
    self, make, reap, syscall, unshare, until, Child, Door, Numbers, Shared, DOORS,
};
use anyhow::{bail, ensure, Context, Result};
use std::{
    fs,
    sync::atomic::{AtomicI64, Ordering::SeqCst},
};

super::tests! {
    [Cpus] =>
        escape_by_clone
        escape_by_clone3
        escape_by_clone3_with_tid
        escape_by_limits
        escape_by_exit_of_leader
        escape_by_death_of_vfork_parent;
}

/// What the first call of a new task returned.
pub(super) static FIRST: Shared<AtomicI64> = Shared::new();

const NO_CALL: i64 = i64::MIN;

/// Makes a new task, which makes a call that is refused at once, and ends, without a stack; returns
/// its TID.
fn try_clone(door: Door, numbers: Numbers, args: [u64; 5]) -> Result<i64> {
    FIRST.store(NO_CALL, SeqCst);
    let first = &raw const *FIRST;
    let [a, b, c, d, e] = args;
    let ret: i64;
    match door {
        // SAFETY: The new task touches nothing but `FIRST`.
        Door::Syscall => unsafe {
            std::arch::asm!(
                "syscall",
                "test rax, rax",
                "jnz 2f",
                "mov eax, {getppid}",
                "syscall",
                "mov [r12], rax",
                "mov eax, {exit}",
                "xor edi, edi",
                "syscall",
                "2:",
                getppid = const libc::SYS_getppid,
                exit = const libc::SYS_exit,
                inlateout("rax") numbers[0] => ret,
                in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e,
                in("r12") first,
                lateout("rcx") _, lateout("r11") _,
            )
        },
        // SAFETY: As above.
        Door::Int80 => unsafe {
            std::arch::asm!(
                "xchg rbx, {first_argument}",
                "int 0x80",
                "test rax, rax",
                "jnz 2f",
                "mov eax, 64",
                "int 0x80",
                "mov [r12], rax",
                "mov eax, 1",
                "xor ebx, ebx",
                "int 0x80",
                "2:",
                "xchg rbx, {first_argument}",
                first_argument = inout(reg) a => _,
                inlateout("rax") numbers[1] => ret,
                in("rcx") b, in("rdx") c, in("rsi") d, in("rdi") e,
                in("r12") first,
            )
        },
    }
    ensure!(ret > 0, "no new task: {ret}");
    until("the new task calls", || Ok(FIRST.load(SeqCst) != NO_CALL))?;
    count(FIRST.load(SeqCst));
    // It may be a thread, or another's child.
    let _ = reap(ret as i32);
    Ok(ret)
}

const SIGCHLD: i32 = libc::SIGCHLD;
const THREAD: i32 = libc::CLONE_VM | libc::CLONE_SIGHAND | libc::CLONE_THREAD;

fn escape_by_clone() -> Result<()> {
    const FORK: Numbers = [libc::SYS_fork, 2];
    const VFORK: Numbers = [libc::SYS_vfork, 190];
    const CLONE: Numbers = [libc::SYS_clone, 120];

    let flags = [
        0,
        SIGCHLD,
        SIGCHLD | libc::CLONE_PARENT,
        SIGCHLD | libc::CLONE_VFORK,
        SIGCHLD | libc::CLONE_UNTRACED,
        SIGCHLD | libc::CLONE_PTRACE,
        SIGCHLD | libc::CLONE_VM,
        SIGCHLD | libc::CLONE_VM | libc::CLONE_VFORK,
        SIGCHLD | libc::CLONE_VM | libc::CLONE_SIGHAND,
        SIGCHLD | libc::CLONE_FILES | libc::CLONE_FS | libc::CLONE_IO | libc::CLONE_SYSVSEM,
        THREAD,
        THREAD | libc::CLONE_UNTRACED | libc::CLONE_PTRACE,
        THREAD | libc::CLONE_FILES | libc::CLONE_FS | libc::CLONE_SYSVSEM | libc::CLONE_DETACHED,
        SIGCHLD | libc::CLONE_NEWUSER,
        SIGCHLD | libc::CLONE_NEWUSER | libc::CLONE_NEWPID,
        SIGCHLD
            | NAMESPACES[..6]
                .iter()
                .fold(libc::CLONE_NEWUSER, |all, one| all | one),
    ];
    no_way_out(|| {
        for door in DOORS {
            try_clone(door, FORK, [0; 5]).context("fork")?;
            try_clone(door, VFORK, [0; 5]).context("vfork")?;
            for flags in flags {
                let args = [flags as u32 as u64, 0, 0, 0, 0];
                try_clone(door, CLONE, args)
                    .with_context(|| format!("{door:?}, clone {flags:#x}"))?;
            }
        }
        Ok(())
    })
}

fn try_clone3(args: &libc::clone_args) -> Result<i64> {
    let (args, size) = (
        &raw const *args as u64,
        size_of::<libc::clone_args>() as u64,
    );
    try_clone(Door::Syscall, [libc::SYS_clone3, 0], [args, size, 0, 0, 0])
}

fn clone3_args(flags: u64) -> libc::clone_args {
    // SAFETY: All-zero is valid.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = flags;
    args.exit_signal = SIGCHLD as u64;
    args
}

fn escape_by_clone3() -> Result<()> {
    const CLEAR_SIGHAND: u64 = 1 << 32;
    const AUTOREAP: u64 = 1 << 34;
    const NNP: u64 = 1 << 35;

    no_way_out(|| {
        for flags in [
            0,
            libc::CLONE_PIDFD as u64,
            libc::CLONE_VFORK as u64,
            (libc::CLONE_NEWUSER | CLONE_NEWTIME) as u64,
            CLEAR_SIGHAND,
            NNP,
            AUTOREAP,
        ] {
            let mut fd = 0;
            let mut args = clone3_args(flags);
            args.pidfd = &raw mut fd as u64;
            if flags == AUTOREAP {
                args.exit_signal = 0;
            }
            try_clone3(&args).with_context(|| format!("clone3 {flags:#x}"))?;
        }
        Ok(())
    })
}

/// As what restores a container does.
fn escape_by_clone3_with_tid() -> Result<()> {
    no_way_out(|| {
        unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWPID)?;
        run(|| {
            let tid = 4711;
            let mut args = clone3_args(0);
            args.set_tid = &raw const tid as u64;
            args.set_tid_size = 1;
            ensure!(try_clone3(&args)? == i64::from(tid));
            Ok(())
        })
    })
}

/// What fails on the way makes nobody free, and leaves nothing attached that is not there.
fn escape_by_limits() -> Result<()> {
    let forks = |flags: u64, errno: i32| -> Result<()> {
        let mut fd = 0;
        let tid = 1;
        let mut args = clone3_args(flags);
        args.pidfd = &raw mut fd as u64;
        if flags == 0 {
            // It takes a capability, in vain.
            (args.set_tid, args.set_tid_size) = (&raw const tid as u64, 1);
        }
        let at = &raw const args as u64;
        let ret = syscall(libc::SYS_clone3, [at, 88, 0, 0, 0, 0]);
        ensure!(ret == -i64::from(errno), "clone3 {flags:#x}: {ret}");
        try_call();
        Ok(())
    };
    let none = |resource: libc::__rlimit_resource_t| -> Result<()> {
        let (resource, mut limit) = (u64::from(resource), [0u64; 2]);
        let at = limit.as_mut_ptr() as u64;
        make("prlimit64", libc::SYS_prlimit64, &[0, resource, 0, at])?;
        let limit = [0, limit[1]];
        let at = limit.as_ptr() as u64;
        make("prlimit64", libc::SYS_prlimit64, &[0, resource, at, 0])?;
        try_call();
        Ok(())
    };
    no_way_out(|| {
        for resource in [
            libc::RLIMIT_MEMLOCK,
            libc::RLIMIT_SIGPENDING,
            libc::RLIMIT_STACK,
            libc::RLIMIT_AS,
        ] {
            run(|| {
                none(resource)?;
                forks(0, libc::EPERM)?;
                try_clone3(&clone3_args(0)).map(drop)
            })?;
        }
        run(|| {
            none(libc::RLIMIT_NOFILE)?;
            forks(libc::CLONE_PIDFD as u64, libc::EMFILE)
        })?;
        none(libc::RLIMIT_NPROC)?;
        forks(0, libc::EAGAIN)
    })
}

/// The others go on without it.
fn escape_by_exit_of_leader() -> Result<()> {
    no_way_out(|| {
        run(|| {
            let stat = format!("/proc/{}/stat", std::process::id());
            std::thread::spawn(move || {
                let dead = || Ok(fs::read_to_string(&stat)?.contains(") Z "));
                let result = until("the leader is dead", dead);
                try_call();
                child_tries()
                    .and(result)
                    .map_or_else(|_| process::exit(1), |()| process::exit(0))
            });
            loop {
                syscall(libc::SYS_exit, [0; 6]);
            }
        })
    })
}

fn escape_by_death_of_vfork_parent() -> Result<()> {
    no_way_out(|| {
        let before = calls();
        let parent = Child::run(|| {
            let parent = std::process::id();
            let flags = (libc::CLONE_VFORK | SIGCHLD) as u64;
            if make("clone", libc::SYS_clone, &[flags])? == 0 {
                let result = until_gone(parent);
                try_call();
                process::exit(i32::from(result.is_err()));
            }
            bail!("it has not waited")
        })?;
        // It does, and cannot be interrupted, only killed.
        let stat = format!("/proc/{}/task/{0}/children", parent.pid);
        until("a child", || Ok(!fs::read_to_string(&stat)?.is_empty()))?;
        parent.kill(libc::SIGKILL);
        ensure!(parent.wait()? == 256 + libc::SIGKILL);
        until("the child calls", || Ok(calls() != before))
    })
}
