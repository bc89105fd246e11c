// SPDX-License-Identifier: GPL-2.0

//! Processes and cgroups whose tasks are in groups, those of the samples.

use super::samples::Sample;
use crate::{
    process::{self, gettid, make, syscall, until, Child, Puppet},
    slowpath::{attach, detach, tasks, write},
};
use anyhow::{ensure, Context, Result};
use std::{
    fs, io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    path::PathBuf,
};

super::tests! {
    [Cpus] =>
        group_has_all_threads
        group_follows_threads
        group_follows_children
        group_misses_no_new_thread
        group_or_none
        group_of_a_task_is_shown;
    [] =>
        cgroup_has_tasks_that_were_there
        cgroup_has_tasks_that_come
        cgroup_has_children
        cgroup_judges_the_first_call
        cgroup_nearest_comes_first
        cgroup_comes_after_own_group
        cgroup_clone_into
        cgroup_files_are_for_administrators
        cgroup_bad_input
        cgroup_outlives_its_group
        cgroup_is_removed;
}

/// What /proc says of a task's group.
fn group_of(pid: i32, tid: i32) -> Result<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/task/{tid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("Slowpath:\t"));
    Ok(line.context("no line")?.to_string())
}

/// How many threads of a process are in this group, and how many are not.
fn threads_in(pid: i32, group: &str) -> Result<(usize, usize)> {
    let mut count = (0, 0);
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let tid = thread?.file_name().to_string_lossy().parse()?;
        match group_of(pid, tid) {
            Ok(name) if name == group => count.0 += 1,
            Ok(_) => count.1 += 1,
            // It has ended meanwhile.
            Err(_) => {}
        }
    }
    Ok(count)
}

fn ensure_in(pid: i32, group: &str) -> Result<()> {
    let found = group_of(pid, pid)?;
    ensure!(found == group, "it is in {found}, and not in {group}");
    Ok(())
}

fn wait_for_ever() -> ! {
    loop {
        process::pause();
    }
}

fn spawn_idle() -> i64 {
    let thread = std::thread::Builder::new().stack_size(16 * 1024);
    i64::from(thread.spawn(|| wait_for_ever()).is_err())
}

/// A child of the puppet's that waits.
fn fork_idle() -> i64 {
    match syscall(libc::SYS_fork, [0; 6]) {
        0 => wait_for_ever(),
        pid => pid,
    }
}

const THREAD: u8 = 1;
const FORK: u8 = 2;

/// A process that makes threads and children as it is told.
fn parent() -> Result<Puppet> {
    let puppet = Puppet::new(|command| match command {
        THREAD => spawn_idle(),
        FORK => fork_idle(),
        _ => 0,
    })?;
    puppet.until_idle()?;
    Ok(puppet)
}

/// Ends with the test.
struct Other(i32);

impl Drop for Other {
    fn drop(&mut self) {
        process::kill(self.0, libc::SIGKILL);
    }
}

fn forked(puppet: &mut Puppet) -> Result<Other> {
    let pid = puppet.call(FORK)?;
    ensure!(pid > 0, "no child: {pid}");
    Ok(Other(pid as i32))
}

fn of_process(name: &'static str, pid: i32) -> Result<Sample> {
    Sample::load(name, &format!("pid={pid}"))
}

fn errno<T>(result: Result<T>) -> Result<i32> {
    let error = result.err().context("it has succeeded")?;
    let errno = error
        .downcast_ref::<io::Error>()
        .and_then(|e| e.raw_os_error());
    errno.with_context(|| format!("{error:#}"))
}

fn group_has_all_threads() -> Result<()> {
    let mut puppet = parent()?;
    for _ in 0..100 {
        ensure!(puppet.call(THREAD)? == 0);
    }
    let pid = puppet.tid();
    let sample = of_process("minimal", pid)?;
    let count = threads_in(pid, "slowpath_minimal")?;
    ensure!(count == (101, 0), "{count:?}");
    ensure_in(gettid(), "none")?;
    sample.unload()?;
    let count = threads_in(pid, "none")?;
    ensure!(count == (101, 0), "{count:?}");
    Ok(())
}

fn group_follows_threads() -> Result<()> {
    let mut puppet = parent()?;
    let sample = of_process("minimal", puppet.tid())?;
    ensure!(puppet.call(THREAD)? == 0);
    let count = threads_in(puppet.tid(), "slowpath_minimal")?;
    ensure!(count == (2, 0), "{count:?}");
    let child = forked(&mut puppet)?;
    ensure_in(child.0, "none")?;
    sample.unload()
}

fn group_follows_children() -> Result<()> {
    let mut puppet = parent()?;
    let sample = of_process("deny_exec", puppet.tid())?;
    ensure!(puppet.call(THREAD)? == 0);
    let count = threads_in(puppet.tid(), "slowpath_deny_exec")?;
    ensure!(count == (2, 0), "{count:?}");
    let child = forked(&mut puppet)?;
    ensure_in(child.0, "slowpath_deny_exec")?;
    sample.unload()?;
    ensure_in(child.0, "none")
}

/// Threads are born while a process joins.
fn group_misses_no_new_thread() -> Result<()> {
    const THREADS: usize = 300;

    for round in 0..process::rounds(20) as usize {
        let child = Child::fork(|| {
            for _ in 1..THREADS {
                if spawn_idle() != 0 {
                    return 1;
                }
            }
            wait_for_ever()
        })?;
        let threads =
            || -> Result<usize> { Ok(fs::read_dir(format!("/proc/{}/task", child.pid))?.count()) };
        until("threads are made", || Ok(threads()? > 5 * round))?;
        let sample = of_process("minimal", child.pid)?;
        until("all threads are made", || Ok(threads()? == THREADS))?;
        let count = threads_in(child.pid, "slowpath_minimal")?;
        ensure!(count == (THREADS, 0), "round {round}: {count:?}");
        sample.unload()?;
    }
    Ok(())
}

fn group_or_none() -> Result<()> {
    let mut puppet = parent()?;
    for _ in 0..10 {
        ensure!(puppet.call(THREAD)? == 0);
    }
    let pid = puppet.tid();
    let last = fs::read_dir(format!("/proc/{pid}/task"))?
        .last()
        .context("no thread")??;
    let last: i32 = last.file_name().to_string_lossy().parse()?;
    attach(last)?;
    ensure!(errno(of_process("minimal", pid))? == libc::EBUSY);
    ensure!(threads_in(pid, "none")? == (10, 1));
    let line = format!("task {last} ");
    let log = std::process::Command::new("/bin/dmesg").output()?.stdout;
    ensure!(String::from_utf8_lossy(&log).contains(&line), "not logged");
    detach(last)?;
    of_process("minimal", pid)?.unload()?;

    ensure!(errno(of_process("minimal", i32::MAX))? == libc::ESRCH);
    // The number of a thread is not that of a process.
    ensure!(errno(of_process("minimal", last))? == libc::ESRCH || last == pid);
    ensure!(errno(of_process("minimal", 2))? == libc::EPERM);
    let both = Sample::load("minimal", &format!("pid={pid} tid={pid}"));
    ensure!(errno(both)? == libc::EINVAL);
    ensure!(threads_in(pid, "none")? == (11, 0));
    Ok(())
}

fn group_of_a_task_is_shown() -> Result<()> {
    let puppet = parent()?;
    let pid = puppet.tid();
    ensure_in(pid, "none")?;
    attach(pid)?;
    ensure_in(pid, &format!("task/{pid}"))?;
    detach(pid)?;
    ensure_in(pid, "none")?;
    let sample = Sample::load("iret", &format!("tid={pid}"))?;
    ensure_in(pid, "slowpath_iret")?;
    // As others may.
    let child = Child::run(|| {
        make("setresuid", libc::SYS_setresuid, &[65534, 65534, 65534])?;
        ensure_in(pid, "slowpath_iret")
    })?;
    child.wait_success()?;
    sample.unload()
}

/// A cgroup in the default hierarchy, removed when dropped.
struct Cgroup(PathBuf);

impl Cgroup {
    fn root() -> Result<PathBuf> {
        let root = PathBuf::from("/run/slowpath-cgroup");
        fs::create_dir_all(&root)?;
        let at = c"/run/slowpath-cgroup";
        process::mount(c"cgroup2", at, "/run/slowpath-cgroup/cgroup.procs")?;
        Ok(root)
    }

    fn new(name: &str) -> Result<Self> {
        Self::below(&Self::root()?, name)
    }

    fn below(parent: &std::path::Path, name: &str) -> Result<Self> {
        let path = parent.join(name);
        fs::create_dir(&path)?;
        Ok(Self(path))
    }

    fn set(&self, group: &str) -> io::Result<()> {
        write(self.0.join("slowpath.group"), group)
    }

    fn get(&self) -> Result<String> {
        crate::slowpath::read(self.0.join("slowpath.group"))
    }

    fn take(&self, pid: i32) -> Result<()> {
        Ok(write(self.0.join("cgroup.procs"), pid.to_string())?)
    }

    fn let_go(pid: i32) -> Result<()> {
        Ok(write(Self::root()?.join("cgroup.procs"), pid.to_string())?)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Its tasks go when the test ends, or are going now.
        let _ = until("the cgroup is empty", || {
            for pid in fs::read_to_string(self.0.join("cgroup.procs"))?.lines() {
                let _ = Self::let_go(pid.parse()?);
            }
            Ok(fs::remove_dir(&self.0).is_ok())
        });
    }
}

const GROUP: &str = "slowpath_deny_exec";

/// A group that has nobody in it but a process that does nothing.
struct Made {
    sample: Sample,
    _holder: Puppet,
}

fn make_group(name: &'static str) -> Result<Made> {
    let holder = parent()?;
    Ok(Made {
        sample: of_process(name, holder.tid())?,
        _holder: holder,
    })
}

fn cgroup_has_tasks_that_were_there() -> Result<()> {
    let made = make_group("deny_exec")?;
    let mut puppet = parent()?;
    for _ in 0..50 {
        ensure!(puppet.call(THREAD)? == 0);
    }
    let pid = puppet.tid();
    let cgroup = Cgroup::new("there")?;
    ensure!(cgroup.get()? == "none");
    cgroup.take(pid)?;
    ensure!(threads_in(pid, "none")? == (51, 0));
    cgroup.set(GROUP)?;
    ensure!(cgroup.get()? == GROUP);
    ensure!(threads_in(pid, GROUP)? == (51, 0));
    cgroup.set("none")?;
    ensure!(threads_in(pid, "none")? == (51, 0));
    made.sample.unload()
}

fn cgroup_has_tasks_that_come() -> Result<()> {
    let made = make_group("deny_exec")?;
    let mut puppet = parent()?;
    for _ in 0..10 {
        ensure!(puppet.call(THREAD)? == 0);
    }
    let pid = puppet.tid();
    let cgroup = Cgroup::new("come")?;
    cgroup.set(GROUP)?;
    cgroup.take(pid)?;
    ensure!(threads_in(pid, GROUP)? == (11, 0));
    let below = Cgroup::below(&cgroup.0, "below")?;
    ensure!(below.get()? == "none");
    below.take(pid)?;
    ensure!(threads_in(pid, GROUP)? == (11, 0));
    Cgroup::let_go(pid)?;
    ensure!(threads_in(pid, "none")? == (11, 0));
    made.sample.unload()
}

/// Whatever the group's tasks that have joined do with theirs.
fn cgroup_has_children() -> Result<()> {
    let made = make_group("minimal")?;
    let mut puppet = parent()?;
    let cgroup = Cgroup::new("children")?;
    cgroup.set("slowpath_minimal")?;
    cgroup.take(puppet.tid())?;
    ensure!(puppet.call(THREAD)? == 0);
    ensure!(threads_in(puppet.tid(), "slowpath_minimal")? == (2, 0));
    let child = forked(&mut puppet)?;
    ensure_in(child.0, "slowpath_minimal")?;
    // A child outside of the cgroup's way is free again.
    Cgroup::let_go(child.0)?;
    ensure_in(child.0, "none")?;
    made.sample.unload()
}

/// The first one after the write that has moved the task.
fn cgroup_judges_the_first_call() -> Result<()> {
    let made = make_group("deny_exec")?;
    let cgroup = Cgroup::new("first")?;
    cgroup.set(GROUP)?;
    let procs = fs::OpenOptions::new()
        .write(true)
        .open(cgroup.0.join("cgroup.procs"))?;
    for _ in 0..process::rounds(100) {
        let child = Child::fork(|| {
            let path = c"/bin/true".as_ptr() as u64;
            let argv = [path, 0];
            let moved = [procs.as_raw_fd() as u64, c"0".as_ptr() as u64, 1, 0, 0, 0];
            let execve = [path, argv.as_ptr() as u64, 0, 0, 0, 0];
            if syscall(libc::SYS_write, moved) != 1 {
                return 1;
            }
            -syscall(libc::SYS_execve, execve) as i32
        })?;
        let status = child.wait()?;
        ensure!(status == libc::EACCES, "the program was executed: {status}");
    }
    drop(procs);
    made.sample.unload()
}

fn cgroup_nearest_comes_first() -> Result<()> {
    let (outer, inner) = (make_group("deny_exec")?, make_group("iret")?);
    let puppet = parent()?;
    let pid = puppet.tid();
    let above = Cgroup::new("above")?;
    let near = Cgroup::below(&above.0, "near")?;
    let below = Cgroup::below(&near.0, "below")?;
    below.take(pid)?;
    above.set(GROUP)?;
    ensure_in(pid, GROUP)?;
    near.set("slowpath_iret")?;
    ensure_in(pid, "slowpath_iret")?;
    // It does not reach below the other.
    above.set("none")?;
    ensure_in(pid, "slowpath_iret")?;
    above.set(GROUP)?;
    ensure_in(pid, "slowpath_iret")?;
    near.set("none")?;
    ensure_in(pid, GROUP)?;
    // One that is made now is as its parent.
    let late = Cgroup::below(&below.0, "late")?;
    late.take(pid)?;
    ensure_in(pid, GROUP)?;
    drop((late, below));
    inner.sample.unload()?;
    outer.sample.unload()
}

fn cgroup_comes_after_own_group() -> Result<()> {
    let made = make_group("deny_exec")?;
    let mut puppet = parent()?;
    let pid = puppet.tid();
    let own = format!("task/{pid}");
    let cgroup = Cgroup::new("own")?;
    cgroup.set(GROUP)?;

    attach(pid)?;
    cgroup.take(pid)?;
    ensure_in(pid, &own)?;
    // Its own group does not follow this one.
    let child = forked(&mut puppet)?;
    ensure_in(child.0, GROUP)?;
    detach(pid)?;
    ensure_in(pid, GROUP)?;
    ensure!(tasks()?.is_empty());
    // It is there by its cgroup, which is no group of that module's.
    ensure!(detach(pid).is_err());
    ensure_in(pid, GROUP)?;

    attach(pid)?;
    ensure_in(pid, &own)?;
    cgroup.set("none")?;
    ensure_in(pid, &own)?;
    ensure_in(child.0, "none")?;
    cgroup.set(GROUP)?;
    Cgroup::let_go(pid)?;
    ensure_in(pid, &own)?;
    detach(pid)?;
    ensure_in(pid, "none")?;
    made.sample.unload()
}

fn cgroup_clone_into() -> Result<()> {
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

    let made = make_group("deny_exec")?;
    let cgroup = Cgroup::new("into")?;
    cgroup.set(GROUP)?;
    let dir = fs::File::open(&cgroup.0)?;
    // flags, exit_signal, cgroup
    let mut args = [0u64; 11];
    args[0] = CLONE_INTO_CGROUP;
    args[4] = libc::SIGCHLD as u64;
    args[10] = dir.as_raw_fd() as u64;
    let clone3 = [args.as_ptr() as u64, 88, 0, 0, 0, 0];
    let child = match syscall(libc::SYS_clone3, clone3) {
        0 => wait_for_ever(),
        pid => Child { pid: pid as i32 },
    };
    ensure!(child.pid > 0, "clone3: {}", child.pid);
    ensure_in(child.pid, GROUP)?;
    drop(child);
    made.sample.unload()
}

fn cgroup_files_are_for_administrators() -> Result<()> {
    let made = make_group("deny_exec")?;
    let cgroup = Cgroup::new("delegated")?;
    cgroup.set(GROUP)?;
    let file = cgroup.0.join("slowpath.group");
    for path in [&cgroup.0, &file, &cgroup.0.join("cgroup.procs")] {
        std::os::unix::fs::chown(path, Some(65534), Some(65534))?;
    }
    let text = c"none".as_ptr() as u64;
    let child = Child::run(|| {
        let open = fs::OpenOptions::new().write(true).open(&file)?;
        make("setresuid", libc::SYS_setresuid, &[65534, 65534, 65534])?;
        // What root has opened, and what it owns itself.
        let ours = fs::OpenOptions::new().write(true).open(&file)?;
        for fd in [&open, &ours] {
            let args = [fd.as_raw_fd() as u64, text, 4, 0, 0, 0];
            let ret = syscall(libc::SYS_write, args);
            ensure!(ret == -i64::from(libc::EPERM), "written: {ret}");
        }
        Ok(())
    })?;
    child.wait_success()?;

    // What somebody else has opened, and root writes to.
    let (mine, theirs) = std::os::unix::net::UnixStream::pair()?;
    let child = Child::run(|| {
        make("setresuid", libc::SYS_setresuid, &[65534, 65534, 65534])?;
        let ours = fs::OpenOptions::new().write(true).open(&file)?;
        // Its number, which is fetched out of this process.
        let fd = ours.as_raw_fd();
        io::Write::write_all(&mut &theirs, &fd.to_ne_bytes())?;
        wait_for_ever()
    })?;
    let mut number = [0; 4];
    io::Read::read_exact(&mut &mine, &mut number)?;
    let pidfd = make("pidfd", libc::SYS_pidfd_open, &[child.pid as u64, 0])?;
    let args = [pidfd as u64, i32::from_ne_bytes(number) as u64, 0];
    let fd = make("pidfd_getfd", libc::SYS_pidfd_getfd, &args)?;
    // SAFETY: Just opened, and owned by nobody else.
    let _open = unsafe {
        (
            OwnedFd::from_raw_fd(pidfd as i32),
            OwnedFd::from_raw_fd(fd as i32),
        )
    };
    let ret = syscall(libc::SYS_write, [fd as u64, text, 4, 0, 0, 0]);
    ensure!(ret == -i64::from(libc::EPERM), "written for another: {ret}");
    ensure!(cgroup.get()? == GROUP);
    drop(child);
    made.sample.unload()
}

fn cgroup_bad_input() -> Result<()> {
    let cgroup = Cgroup::new("bad")?;
    for name in ["", "no_such_group", "none none", "\n", "task/1"] {
        let error = cgroup.set(name).err().and_then(|e| e.raw_os_error());
        // A write of nothing is none.
        ensure!(
            name.is_empty() || error == Some(libc::ENOENT),
            "{name:?}: {error:?}"
        );
    }
    let long = cgroup.set(&"x".repeat(3000));
    ensure!(long.err().and_then(|e| e.raw_os_error()) == Some(libc::ENOENT));
    ensure!(cgroup.get()? == "none");
    ensure!(!fs::exists(Cgroup::root()?.join("slowpath.group"))?);
    let events = fs::read_to_string(cgroup.0.join("slowpath.events"))?;
    ensure!(events == "kept_out 0\n", "{events:?}");
    Ok(())
}

/// Unloading the group's module lets its tasks go, and its cgroups.
fn cgroup_outlives_its_group() -> Result<()> {
    let made = make_group("deny_exec")?;
    let puppet = parent()?;
    let cgroup = Cgroup::new("outlives")?;
    let below = Cgroup::below(&cgroup.0, "below")?;
    cgroup.set(GROUP)?;
    below.set(GROUP)?;
    below.take(puppet.tid())?;
    made.sample.unload()?;
    ensure!(cgroup.get()? == "none" && below.get()? == "none");
    ensure_in(puppet.tid(), "none")?;
    let made = make_group("deny_exec")?;
    ensure_in(puppet.tid(), "none")?;
    cgroup.set(GROUP)?;
    ensure_in(puppet.tid(), GROUP)?;
    drop(below);
    made.sample.unload()
}

fn cgroup_is_removed() -> Result<()> {
    let made = make_group("deny_exec")?;
    for _ in 0..50 {
        let cgroup = Cgroup::new("removed")?;
        cgroup.set(GROUP)?;
        let child = Child::fork(|| wait_for_ever())?;
        cgroup.take(child.pid)?;
        ensure_in(child.pid, GROUP)?;
        // While its last task is dying.
        process::kill(child.pid, libc::SIGKILL);
        drop(cgroup);
    }
    made.sample.unload()
}
