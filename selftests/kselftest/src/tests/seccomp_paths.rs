// SPDX-License-Identifier: GPL-2.0

//! Which path the calls of a task take that has seccomp filters.

use super::{
    paths::{check_fast, need_fast_path, taken, CALLS},
    policy::under,
};
use crate::{
    paths::Paths,
    process::{self, getppid, gettid, user_dispatch, Child, Puppet, Shared, UserDispatch},
    seccomp::{
        install, seccomp, seccomp_with, statement, FIRST_ARGUMENT, JUMP_EQUAL, LOAD, NUMBER, RETURN,
    },
    slowpath::Group,
};
use anyhow::{ensure, Result};
use std::{
    sync::atomic::{AtomicU32, Ordering::SeqCst},
    time::{Duration, Instant},
};

super::tests! {
    [Mitigations, FastPath] =>
        path_of_seccomp_filter
        path_of_seccomp_filter_of_arguments
        path_of_seccomp_strict_mode
        path_of_seccomp_filter_beside_user_dispatch
        path_of_seccomp_filter_under_a_policy;
    [Mitigations, FastPath, Cpus] =>
        path_of_return_of_a_filtered_call
        path_of_seccomp_filter_of_another_thread;
}

/// The filters were run in C, and the way back went on in assembly. Its other calls are fast: for
/// the next command, and the answer.
fn check_looked_at(taken: Paths) -> Result<()> {
    ensure!(taken.handled >= CALLS && taken.fast < CALLS, "{taken:?}");
    ensure!(taken.slow == 0 && taken.iret == 0, "{taken:?}");
    Ok(())
}

/// What a puppet does to its own filters, and which calls it makes.
fn filtered() -> Result<Puppet> {
    Puppet::new(|command| {
        let filter = |nr, action| i64::from(seccomp_with(nr, action, 0).unwrap_or(-1));
        match command {
            b'a' => filter(-1, libc::SECCOMP_RET_ALLOW),
            b'e' => filter(libc::SYS_getppid, libc::SECCOMP_RET_ERRNO | 77),
            b'g' => (0..CALLS).map(|_| i64::from(gettid() > 0)).sum(),
            b't' => {
                let group = Group {
                    name: "test".into(),
                };
                group.join_task(gettid()).map_or(-1, |_| 0)
            }
            _ => (0..CALLS).map(|_| getppid()).sum(),
        }
    })
}

fn path_of_seccomp_filter() -> Result<()> {
    need_fast_path()?;
    let mut puppet = filtered()?;
    check_fast(taken(&mut puppet, 0)?)?;
    // Whatever its arguments, each call is allowed, and that is known.
    ensure!(puppet.call(b'a')? == 0);
    check_fast(taken(&mut puppet, 0)?)?;
    ensure!(puppet.call(b'e')? == 0);
    check_fast(taken(&mut puppet, b'g')?)?;
    check_looked_at(taken(&mut puppet, 0)?)?;
    ensure!(puppet.call(0)? == -77 * CALLS as i64);
    // A filter that allows it does not make up for that.
    ensure!(puppet.call(b'a')? == 0);
    check_looked_at(taken(&mut puppet, 0)?)?;
    ensure!(puppet.call(0)? == -77 * CALLS as i64);
    ensure!(puppet.call(b'g')? == CALLS as i64);
    Ok(())
}

/// What depends on an argument is not in the bitmap.
fn path_of_seccomp_filter_of_arguments() -> Result<()> {
    need_fast_path()?;
    let mut puppet = Puppet::new(|command| {
        let with = |arg| process::syscall(libc::SYS_getppid, [arg, 0, 0, 0, 0, 0]);
        match command {
            b'f' => {
                let filter = [
                    statement(LOAD, 0, 0, NUMBER),
                    statement(JUMP_EQUAL, 0, 3, libc::SYS_getppid as u32),
                    statement(LOAD, 0, 0, FIRST_ARGUMENT),
                    statement(JUMP_EQUAL, 0, 1, 5),
                    statement(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | 77),
                    statement(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
                ];
                i64::from(install(&filter, 0).unwrap_or(-1))
            }
            b'5' => (0..CALLS).map(|_| with(5)).sum(),
            _ => (0..CALLS).map(|_| with(4)).sum(),
        }
    })?;
    ensure!(puppet.call(b'f')? == 0);
    check_looked_at(taken(&mut puppet, 0)?)?;
    ensure!(puppet.call(b'5')? == -77 * CALLS as i64);
    Ok(())
}

/// Other work is done, whatever the filters allow.
fn path_of_seccomp_filter_beside_user_dispatch() -> Result<()> {
    need_fast_path()?;
    let mut puppet = Puppet::new(|command| match command {
        b'a' => i64::from(seccomp_with(-1, libc::SECCOMP_RET_ALLOW, 0).unwrap_or(-1)),
        b'd' => user_dispatch(UserDispatch::Exempt),
        _ => (0..CALLS).map(|_| getppid()).sum(),
    })?;
    ensure!(puppet.call(b'a')? == 0);
    check_fast(taken(&mut puppet, 0)?)?;
    ensure!(puppet.call(b'd')? == 0, "prctl");
    check_looked_at(taken(&mut puppet, 0)?)
}

/// Strict mode has no filter to be looked at. It allows exit(2), which says what it was that killed.
fn path_of_seccomp_strict_mode() -> Result<()> {
    let made = Shared::<AtomicU32>::new();
    made.store(0, SeqCst);
    let child = Child::fork(|| {
        let strict = u64::from(libc::SECCOMP_SET_MODE_STRICT);
        process::syscall(libc::SYS_seccomp, [strict, 0, 0, 0, 0, 0]);
        getppid();
        made.store(1, SeqCst);
        process::syscall(libc::SYS_exit, [0; 6]);
        0
    })?;
    let status = child.wait()?;
    ensure!(status == 256 + libc::SIGKILL, "{status}");
    ensure!(made.load(SeqCst) == 0, "the call was made");
    Ok(())
}

/// Another thread's filter is in force in the calls of those that are on the fast path, be they
/// under filters already, or not.
fn path_of_seccomp_filter_of_another_thread() -> Result<()> {
    need_fast_path()?;
    Paths::of(gettid())?;
    for are_filtered in [false, true] {
        Child::run(move || {
            if are_filtered {
                seccomp_with(-1, libc::SECCOMP_RET_ALLOW, 0)?;
            }
            let ready = AtomicU32::new(0);
            let looks = || {
                let (tid, end) = (gettid(), Instant::now() + Duration::from_secs(60));
                let before = Paths::of(tid)?;
                ensure!((0..CALLS).all(|_| getppid() > 0));
                let taken = Paths::of(tid)?.since(before);
                ensure!(taken.fast >= CALLS && taken.in_c() == 0, "{taken:?}");
                ready.fetch_add(1, SeqCst);
                while getppid() != -77 {
                    ensure!(Instant::now() < end, "it is not in force");
                }
                Ok(())
            };
            std::thread::scope(|scope| {
                let threads = [(); 3].map(|()| scope.spawn(looks));
                let end = Instant::now() + Duration::from_secs(60);
                while ready.load(SeqCst) < 3 && Instant::now() < end {
                    std::thread::yield_now();
                }
                let errno = libc::SECCOMP_RET_ERRNO | 77;
                let flags = libc::SECCOMP_FILTER_FLAG_TSYNC;
                let set = seccomp_with(libc::SYS_getppid, errno, flags);
                for thread in threads {
                    thread.join().expect("it does not panic")?;
                }
                ensure!(set? == 0 && getppid() == -77);
                Ok(())
            })
        })?
        .wait_success()?;
    }
    Ok(())
}

/// Work at its exit that such a call gets while it runs. Nothing else sends it to the slow path: no switch.
fn path_of_return_of_a_filtered_call() -> Result<()> {
    let mut puppet = filtered()?;
    ensure!(puppet.call(b'a')? == 0);
    let group = Group::new("test")?;
    group.set("count_exits", "1")?;
    ensure!(puppet.call(b't')? == 0, "joining");
    // It has entered a call that it sleeps in, and left one that the handler did not see entered.
    let (entries, exits) = (group.stat("entries")?, group.stat("exits")?);
    ensure!(entries == exits, "{entries} entries, {exits} exits");
    Ok(())
}

/// With a handler and filters, both judge.
fn path_of_seccomp_filter_under_a_policy() -> Result<()> {
    let (_task, _policy) = under("getpgrp errno 55")?;
    seccomp(libc::SYS_getppid, libc::SECCOMP_RET_ERRNO | 77)?;
    for _ in 0..CALLS {
        ensure!(getppid() == -77);
        ensure!(process::syscall(libc::SYS_getpgrp, [0; 6]) == -55);
    }
    ensure!(process::syscall(libc::SYS_getpid, [0; 6]) > 0);
    Ok(())
}
