// SPDX-License-Identifier: GPL-2.0

//! What children, threads and other programs make of a group, and of an attachment.

use super::bad_input::keep_only_sys_admin;
use crate::{
    process::{self, getppid, gettid, pipe, reap, syscall, until, until_blocked, Child, Puppet},
    slowpath::{attach, detach, set, tasks, until_none_attached, Group, Policy, Task},
};
use anyhow::{ensure, Context, Result};
use std::{
    fs,
    io::{Read, Write},
    process::Command,
};

super::tests! {
    [FastPath, Cpus] =>
        fork_does_not_inherit
        fork_inherits
        vfork_does_not_inherit
        vfork_inherits
        clone_inherits
        clone3_inherits
        thread_does_not_inherit
        thread_inherits
        grandchild_inherits
        follow_off_again
        group_is_shared
        group_judges_the_first_call
        detach_member_leaves_others
        exec_keeps_attachment
        exec_by_thread_keeps_name
        group_outlives_its_tasks
        switch_reaches_many_members
        many_short_lived_children;
    [] =>
        exec_of_set_uid_program_keeps_attachment
        exec_gains_nothing_that_who_attached_lacks;
}

const PLAIN: u8 = 0;
const FORK: u8 = 1;
const VFORK: u8 = 2;
const CLONE: u8 = 3;
const CLONE3: u8 = 4;

/// What a forked child does: 10 calls, and waits to be killed.
fn child_of_puppet() -> ! {
    extern "C" fn wake_up(_: i32) {}

    process::handle(libc::SIGUSR1, 0, wake_up as *const ());
    for _ in 0..10 {
        getppid();
    }
    loop {
        process::pause();
    }
}

/// A process that forks in the way it is told, and replies with the child's PID.
fn parent() -> Result<Puppet> {
    let puppet = Puppet::new(|command| match command {
        FORK => match syscall(libc::SYS_fork, [0; 6]) {
            0 => child_of_puppet(),
            pid => pid,
        },
        CLONE => match syscall(libc::SYS_clone, [libc::SIGCHLD as u64, 0, 0, 0, 0, 0]) {
            0 => child_of_puppet(),
            pid => pid,
        },
        CLONE3 => {
            let mut args = [0u64; 8];
            args[4] = libc::SIGCHLD as u64;
            match syscall(libc::SYS_clone3, [args.as_ptr() as u64, 64, 0, 0, 0, 0]) {
                0 => child_of_puppet(),
                pid => pid,
            }
        }
        // The library makes this child as vfork does, in its parent's memory.
        VFORK => Command::new("/bin/sleep")
            .arg("1000")
            .spawn()
            .map_or(-1, |c| c.id().into()),
        _ => 0,
    })?;
    puppet.until_idle()?;
    Ok(puppet)
}

/// Kills a child of the puppet; it becomes ours only when the puppet ends.
struct Grandchild(i32);

impl Drop for Grandchild {
    fn drop(&mut self) {
        process::kill(self.0, libc::SIGKILL);
    }
}

fn forked(puppet: &mut Puppet, how: u8) -> Result<Grandchild> {
    let pid = puppet.call(how)?;
    ensure!(pid > 0, "no child: {pid}");
    Ok(Grandchild(pid as i32))
}

/// A process and its child that share a group.
fn sharing() -> Result<(Puppet, Group, Grandchild)> {
    let mut puppet = parent()?;
    let group = Group::of(puppet.tid())?;
    let child = forked(&mut puppet, FORK)?;
    Ok((puppet, group, child))
}

fn check_not_inherited(how: u8) -> Result<()> {
    let mut puppet = parent()?;
    attach(puppet.tid())?;
    let child = forked(&mut puppet, how)?;
    ensure!(detach(child.0).is_err(), "the child is attached");
    detach(puppet.tid())?;
    let group = Group::of(puppet.tid())?;
    group.set("follow", "threads")?;
    let child = forked(&mut puppet, how)?;
    ensure!(group.members()? == [puppet.tid()]);
    ensure!(detach(child.0).is_err(), "the child is in the group");
    Ok(())
}

fn check_inherited(how: u8, wait: i64, calls: u64) -> Result<()> {
    let mut puppet = parent()?;
    let group = Group::of(puppet.tid())?;
    puppet.call(PLAIN)?;
    let before = group.stat("entries")?;
    let child = forked(&mut puppet, how)?;
    until_blocked(child.0, wait)?;
    let members = group.members()?;
    ensure!(members == [puppet.tid(), child.0], "{members:?}");
    ensure!(tasks()?.is_empty(), "it has a directory of its own");
    let entries = group.stat("entries")? - before;
    // The parent's own three, and what the child made, at least.
    ensure!(entries >= 3 + calls, "{entries} entries");
    detach(child.0)?;
    ensure!(group.members()? == [puppet.tid()]);
    Ok(())
}

fn fork_does_not_inherit() -> Result<()> {
    check_not_inherited(FORK)
}

fn fork_inherits() -> Result<()> {
    check_inherited(FORK, libc::SYS_pause, 11)
}

fn vfork_does_not_inherit() -> Result<()> {
    check_not_inherited(VFORK)
}

fn vfork_inherits() -> Result<()> {
    check_inherited(VFORK, libc::SYS_clock_nanosleep, 10)
}

fn clone_inherits() -> Result<()> {
    check_inherited(CLONE, libc::SYS_pause, 11)
}

fn clone3_inherits() -> Result<()> {
    check_inherited(CLONE3, libc::SYS_pause, 11)
}

fn check_thread(inherit: bool) -> Result<()> {
    let (mut tids, mut tid_out) = pipe()?;
    let group = Group::of(gettid())?;
    group.set("follow", if inherit { "threads" } else { "none" })?;
    let (mut go_in, mut go) = pipe()?;
    let thread = std::thread::spawn(move || {
        let _ = tid_out.write_all(&gettid().to_ne_bytes());
        let _ = go_in.read(&mut [0]);
    });
    let mut tid = [0; 4];
    tids.read_exact(&mut tid)?;
    let tid = i32::from_ne_bytes(tid);
    let members = group.members()?;
    let detached = detach(tid).is_ok();
    go.write_all(&[0])?;
    thread.join().ok().context("the thread panicked")?;
    ensure!(detached == inherit, "detached: {detached}");
    let want = if inherit { 2 } else { 1 };
    ensure!(members.len() == want, "{members:?}");
    Ok(())
}

fn thread_does_not_inherit() -> Result<()> {
    check_thread(false)
}

fn thread_inherits() -> Result<()> {
    check_thread(true)
}

fn grandchild_inherits() -> Result<()> {
    let (mut pids, mut pids_out) = pipe()?;
    let mut puppet = Puppet::new(move |_| {
        if syscall(libc::SYS_fork, [0; 6]) == 0 {
            if syscall(libc::SYS_fork, [0; 6]) == 0 {
                let _ = pids_out.write_all(&gettid().to_ne_bytes());
            }
            child_of_puppet();
        }
        0
    })?;
    let group = Group::of(puppet.tid())?;
    puppet.call(0)?;
    let mut pid = [0; 4];
    pids.read_exact(&mut pid)?;
    let grandchild = Grandchild(i32::from_ne_bytes(pid));
    ensure!(group.members()?.len() == 3);
    detach(grandchild.0)?;
    ensure!(group.members()?.len() == 2);
    crate::slowpath::set("detach", "all")?;
    kill_children(puppet.tid())
}

/// Kills the children of a process.
fn kill_children(pid: i32) -> Result<()> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    for child in children.split_ascii_whitespace() {
        drop(Grandchild(child.parse()?));
    }
    Ok(())
}

fn follow_off_again() -> Result<()> {
    let mut puppet = parent()?;
    let group = Group::of(puppet.tid())?;
    let first = forked(&mut puppet, FORK)?;
    group.set("follow", "none")?;
    let second = forked(&mut puppet, FORK)?;
    ensure!(group.members()?.len() == 2);
    ensure!(detach(second.0).is_err());
    detach(first.0)
}

fn group_is_shared() -> Result<()> {
    let (mut puppet, group, child) = sharing()?;
    until_blocked(child.0, libc::SYS_pause)?;
    // One switch, and one policy, for both.
    let policy = Policy::new("shared", "pause log\nread log")?;
    group.set("policy", "shared")?;
    process::kill(child.0, libc::SIGUSR1);
    puppet.call(PLAIN)?;
    until("the policy judges the child", || Ok(policy.hits(1)? >= 1))?;
    until("the policy judges the parent", || Ok(policy.hits(2)? >= 1))?;
    detach(child.0)?;
    detach(puppet.tid())?;
    group.end()
}

/// A child has no call in which it is free.
fn group_judges_the_first_call() -> Result<()> {
    let mut puppet = Puppet::new(|_| {
        (0..200)
            .filter(|_| {
                let pid = syscall(libc::SYS_fork, [0; 6]);
                if pid == 0 {
                    let refused = getppid() == -i64::from(libc::EPERM);
                    process::exit(i32::from(refused));
                }
                reap(pid as i32).is_ok_and(|status| status == 1)
            })
            .count() as i64
    })?;
    let _policy = Policy::new("test", "getppid errno EPERM")?;
    let group = Group::of(puppet.tid())?;
    group.set("policy", "test")?;
    ensure!(puppet.call(0)? == 200);
    group.end()
}

fn detach_member_leaves_others() -> Result<()> {
    let (mut puppet, group, child) = sharing()?;
    detach(puppet.tid())?;
    ensure!(group.members()? == [child.0]);
    // The child has made its calls.
    until_blocked(child.0, libc::SYS_pause)?;
    let before = group.stat("entries")?;
    puppet.call(PLAIN)?;
    ensure!(
        group.stat("entries")? == before,
        "the task that was detached is counted"
    );
    detach(child.0)?;
    ensure!(group.members()?.is_empty());
    group.end()
}

fn check_exec(program: &std::ffi::CStr, argument: &std::ffi::CStr) -> Result<()> {
    let (mut input, mut output) = pipe()?;
    let fd = std::os::fd::AsRawFd::as_raw_fd(&input);
    let child = Child::fork(|| {
        // SAFETY: Nothing here allocates; the pipe's end is the child's copy.
        unsafe {
            let mut byte = 0u8;
            libc::read(fd, (&raw mut byte).cast(), 1);
            libc::execl(
                program.as_ptr(),
                program.as_ptr(),
                argument.as_ptr(),
                std::ptr::null::<libc::c_char>(),
            );
        }
        127
    })?;
    until_blocked(child.pid, libc::SYS_read)?;
    let task = attach(child.pid)?;
    output.write_all(&[0])?;
    until("the program runs", || {
        Ok(fs::read_link(format!("/proc/{}/exe", child.pid))? != std::env::current_exe()?)
    })?;
    until("its calls are counted", || Ok(task.stat("entries")? > 20))?;
    ensure!(tasks()? == [child.pid]);
    let _ = input.flush();
    child.kill(libc::SIGKILL);
    child.wait()?;
    until_none_attached()?;
    drop(input.read(&mut []));
    Ok(())
}

fn exec_keeps_attachment() -> Result<()> {
    check_exec(c"/bin/sleep", c"1000")
}

const SET_UID_PROGRAM: &std::ffi::CStr = c"/tmp/slowpath-set-uid";

/// Makes a program that waits as another user.
fn set_uid_program() -> Result<&'static str> {
    let program = SET_UID_PROGRAM.to_str()?;
    fs::copy("/bin/sleep", program)?;
    std::os::unix::fs::chown(program, Some(65534), Some(65534))?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o4755);
    fs::set_permissions(program, mode)?;
    Ok(program)
}

fn exec_of_set_uid_program_keeps_attachment() -> Result<()> {
    let program = set_uid_program()?;
    let result = check_exec(SET_UID_PROGRAM, c"1000");
    fs::remove_file(program)?;
    result
}

/// Who attached the task to a handler may do no more with a program's privileges than a tracer may.
fn exec_gains_nothing_that_who_attached_lacks() -> Result<()> {
    let program = set_uid_program()?;
    let effective_user = |attached: bool| -> Result<String> {
        let child = Child::fork(|| {
            if !keep_only_sys_admin() || attached && set("attach", gettid().to_string()).is_err() {
                return 1;
            }
            // SAFETY: The strings are static.
            unsafe {
                libc::execl(
                    SET_UID_PROGRAM.as_ptr(),
                    c"sleep".as_ptr(),
                    c"1000".as_ptr(),
                    std::ptr::null::<libc::c_char>(),
                )
            };
            2
        })?;
        until("the program runs", || {
            let comm = fs::read_to_string(format!("/proc/{}/comm", child.pid))?;
            Ok(comm.starts_with("slowpath-set"))
        })?;
        let status = fs::read_to_string(format!("/proc/{}/status", child.pid))?;
        let line = status.lines().find(|line| line.starts_with("Uid:"));
        let user = line.and_then(|line| line.split_whitespace().nth(2));
        Ok(user.context("no user")?.to_string())
    };
    let (free, attached) = (effective_user(false), effective_user(true));
    fs::remove_file(program)?;
    let (free, attached) = (free?, attached?);
    ensure!(free == "65534", "without a handler it runs as {free}");
    ensure!(attached == "0", "with a handler it runs as {attached}");
    until_none_attached()
}

/// More than are switched in one go.
fn switch_reaches_many_members() -> Result<()> {
    let me = Group::of(gettid())?;
    // So that they are made without what the switch has to give them.
    me.set("enabled", "0")?;
    let mut children = (0..100)
        .map(|_| Puppet::new(|_| getppid()))
        .collect::<Result<Vec<_>>>()?;
    let _policy = Policy::new("test", "getppid return 7")?;
    me.set("policy", "test")?;
    ensure!(me.members()?.len() == 101);
    let pid = i64::from(gettid());
    let mut all_get = |expected: i64, when: &str| -> Result<()> {
        for child in &mut children {
            let got = child.call(0)?;
            ensure!(got == expected, "{when}: {got}");
        }
        Ok(())
    };
    all_get(pid, "made with its switch off")?;
    me.set("enabled", "1")?;
    all_get(7, "its switch on")?;
    set("enabled", "0")?;
    all_get(pid, "all off")?;
    set("enabled", "1")?;
    all_get(7, "all on")?;
    set("detach", "all")?;
    all_get(pid, "detached")?;
    ensure!(me.members()?.is_empty());
    me.end()
}

/// A thread that is not the leader executes a program, and takes the leader's TID.
fn exec_by_thread_keeps_name() -> Result<()> {
    let (mut tids, mut tid_out) = pipe()?;
    let (mut go_in, mut go) = pipe()?;
    let child = Child::fork(|| {
        std::thread::spawn(move || {
            let _ = tid_out.write_all(&gettid().to_ne_bytes());
            let _ = go_in.read(&mut [0]);
            process::exec_sleep();
        });
        loop {
            process::pause();
        }
    })?;
    let mut tid = [0; 4];
    tids.read_exact(&mut tid)?;
    let tid = i32::from_ne_bytes(tid);
    ensure!(tid != child.pid);
    until_blocked(tid, libc::SYS_read)?;
    attach(tid)?;
    ensure!(tasks()? == [tid]);
    go.write_all(&[0])?;
    let task = Task { tid };
    until("the program runs", || Ok(task.stat("entries")? > 20))?;
    ensure!(tasks()? == [tid], "{:?}", tasks()?);
    // Its own number is another one now.
    ensure!(detach(tid).is_err());
    detach(child.pid)?;
    ensure!(tasks()?.is_empty());
    Ok(())
}

/// With what it has counted.
fn group_outlives_its_tasks() -> Result<()> {
    let (puppet, group, child) = sharing()?;
    let policy = Policy::new("test", "getppid errno EPERM")?;
    group.set("policy", "test")?;
    puppet.child.kill(libc::SIGKILL);
    puppet.child.wait()?;
    ensure!(group.members()? == [child.0]);
    drop(child);
    until("it has no tasks", || Ok(group.members()?.is_empty()))?;
    ensure!(group.get("policy")? == "test" && group.get("follow")? == "all");
    ensure!(group.stat("entries")? > 0);
    let error = fs::remove_dir(policy.path("")).err();
    ensure!(error.and_then(|e| e.raw_os_error()) == Some(libc::EBUSY));
    // And has others.
    let puppet = parent()?;
    group.join(puppet.tid())?;
    ensure!(group.members()? == [puppet.tid()]);
    group.end()
}

fn many_short_lived_children() -> Result<()> {
    let group = Group::of(gettid())?;
    for _ in 0..300 {
        let pid = syscall(libc::SYS_fork, [0; 6]) as i32;
        if pid == 0 {
            process::exit(7);
        }
        ensure!(reap(pid)? == 7);
    }
    ensure!(group.members()? == [gettid()]);
    group.end()
}
