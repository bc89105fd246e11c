// SPDX-License-Identifier: GPL-2.0

//! Attaching tasks that are executing a program.

use crate::{
    process::{exec_sleep, gettid, pause, pipe, until, until_blocked, until_in_state, Child},
    slowpath::{attach, detach, read, set, tasks, SYSFS},
};
use anyhow::{ensure, Result};
use std::{
    fs,
    io::{Read, Write},
    ptr::null_mut,
};

super::tests! {
    [] =>
        exec_that_waits_holds_up_nobody_else;
}

/// Executes a program once a byte comes. Another thread, whose TID is sent, has to end first.
fn executer() -> Result<(Child, i32, fs::File)> {
    let (mut tids, mut tid_out) = pipe()?;
    let (mut go_in, go) = pipe()?;
    let child = Child::fork(|| {
        std::thread::spawn(move || {
            let _ = tid_out.write_all(&gettid().to_ne_bytes());
            loop {
                pause();
            }
        });
        let _ = go_in.read(&mut [0]);
        exec_sleep();
        1
    })?;
    let mut tid = [0; 4];
    tids.read_exact(&mut tid)?;
    until_blocked(child.pid, libc::SYS_read)?;
    Ok((child, i32::from_ne_bytes(tid), go))
}

fn request(request: u32, tid: i32, data: usize) -> Result<()> {
    // SAFETY: `data` is what the request wants.
    let ret = unsafe { libc::ptrace(request, tid, null_mut::<u8>(), data) };
    ensure!(ret != -1, "ptrace {request:#x}");
    Ok(())
}

/// Attaches this process, and uses the files.
fn use_files() -> Result<()> {
    attach(gettid())?;
    ensure!(tasks()? == [gettid()]);
    ensure!(read(format!("{SYSFS}/enabled"))? == "1");
    set("enabled", "0")?;
    set("enabled", "1")?;
    detach(gettid())
}

/// Begins to attach a task that cannot be attached yet, and makes sure that others can.
fn attach_meanwhile(pid: i32) -> Result<Child> {
    let attaching = Child::run(|| attach(pid).map(drop))?;
    until_in_state(attaching.pid, libc::SYS_write, 'D')?;
    let others = Child::run(use_files)?;
    let stat = format!("/proc/{}/stat", others.pid);
    until("others are attached", || {
        Ok(fs::read_to_string(&stat)?.contains(") Z "))
    })?;
    others.wait_success()?;
    Ok(attaching)
}

/// A task that executes a program is attached when it has done so. Meanwhile others are attached, and
/// the files can be read and written.
fn exec_that_waits_holds_up_nobody_else() -> Result<()> {
    let (child, thread, mut go) = executer()?;
    let options = libc::PTRACE_O_TRACEEXIT as usize;
    request(libc::PTRACE_SEIZE, thread, options)?;
    go.write_all(&[0])?;
    // The exec waits for this thread to be gone, which waits for us.
    let mut status = 0;
    // SAFETY: The kernel writes one `int`, to `status`, which is borrowed until it returns.
    let stopped = unsafe { libc::waitpid(thread, &mut status, libc::__WALL) };
    ensure!(stopped == thread && status >> 16 == libc::PTRACE_EVENT_EXIT);

    let attaching = attach_meanwhile(child.pid);
    request(libc::PTRACE_DETACH, thread, 0)?;
    attaching?.wait_success()?;
    ensure!(tasks()? == [child.pid]);
    detach(child.pid)
}
