// SPDX-License-Identifier: GPL-2.0

//! Cgroups whose tasks are in groups.

use super::{
    groups::{ensure_in, forked, of_process, parent, threads_in, wait_for_ever, THREAD},
    samples::Sample,
};
use crate::{
    process::{self, make, syscall, until, Child, Puppet},
    slowpath::{attach, detach, tasks, write, Group, Policy},
};
use anyhow::{ensure, Context, Result};
use std::{
    fs, io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    path::{Path, PathBuf},
};

super::tests! {
    [Cpus] =>
        cgroup_has_tasks_that_were_there
        cgroup_has_tasks_that_come
        cgroup_judges_the_first_call
        cgroup_is_removed
        cgroup_threaded
        cgroup_frozen
        cgroup_killed;
    [] =>
        cgroup_has_children
        cgroup_nearest_comes_first
        cgroup_comes_after_own_group
        cgroup_clone_into
        cgroup_files_are_for_administrators
        cgroup_bad_input
        cgroup_outlives_its_group
        cgroup_keeps_its_group
        cgroup_of_a_bind_mount
        cgroup_of_a_namespace
        cgroup_exec_stays
        cgroup_keeps_out_what_must_not_be_traced;
}

/// A cgroup in the default hierarchy, removed when dropped.
pub(super) struct Cgroup(pub PathBuf);

impl Cgroup {
    pub(super) fn root() -> Result<PathBuf> {
        let root = PathBuf::from("/run/slowpath-cgroup");
        fs::create_dir_all(&root)?;
        let at = c"/run/slowpath-cgroup";
        process::mount(c"cgroup2", at, "/run/slowpath-cgroup/cgroup.procs")?;
        Ok(root)
    }

    pub(super) fn new(name: &str) -> Result<Self> {
        Self::below(&Self::root()?, name)
    }

    pub(super) fn below(parent: &Path, name: &str) -> Result<Self> {
        let path = parent.join(name);
        fs::create_dir(&path)?;
        Ok(Self(path))
    }

    pub(super) fn set(&self, group: &str) -> io::Result<()> {
        write(self.0.join("slowpath.group"), group)
    }

    pub(super) fn get(&self) -> Result<String> {
        crate::slowpath::read(self.0.join("slowpath.group"))
    }

    pub(super) fn take(&self, pid: i32) -> Result<()> {
        Ok(write(self.0.join("cgroup.procs"), pid.to_string())?)
    }

    pub(super) fn let_go(pid: i32) -> Result<()> {
        Ok(write(Self::root()?.join("cgroup.procs"), pid.to_string())?)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Its tasks go when the test ends, or are going now.
        let _ = until("the cgroup is empty", || {
            // Those of a threaded one are not told; its threads go with that above.
            let tasks = fs::read_to_string(self.0.join("cgroup.procs"));
            for pid in tasks.unwrap_or_default().lines() {
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
    let error = cgroup.set("none\0x").err().and_then(|e| e.raw_os_error());
    ensure!(error == Some(libc::EINVAL), "{error:?}");
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

/// A process with a group of the module's own, by its cgroup, and a policy that refuses getppid.
struct Judged {
    cgroup: Cgroup,
    group: Group,
    _policy: Policy,
}

const EPERM: i64 = -(libc::EPERM as i64);

fn judged(name: &'static str) -> Result<Judged> {
    let policy = Policy::new("test", "getppid errno EPERM")?;
    let group = Group::new(name)?;
    group.set("policy", "test")?;
    let cgroup = Cgroup::new(name)?;
    cgroup.set(name)?;
    Ok(Judged {
        cgroup,
        group,
        _policy: policy,
    })
}

fn caller() -> Result<Puppet> {
    let puppet = Puppet::new(|_| process::getppid())?;
    puppet.until_idle()?;
    Ok(puppet)
}

/// Threads of one process in different cgroups.
fn cgroup_threaded() -> Result<()> {
    let judged = judged("threaded")?;
    let mut puppet = parent()?;
    for _ in 0..4 {
        ensure!(puppet.call(THREAD)? == 0);
    }
    let pid = puppet.tid();
    judged.cgroup.set("none")?;
    judged.cgroup.take(pid)?;
    let below = Cgroup::below(&judged.cgroup.0, "below")?;
    write(below.0.join("cgroup.type"), "threaded")?;
    below.set("threaded")?;
    ensure!(threads_in(pid, "none")? == (5, 0));
    let mut tids = Vec::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        tids.push(thread?.file_name().to_string_lossy().parse::<i32>()?);
    }
    for tid in &tids[1..3] {
        write(below.0.join("cgroup.threads"), tid.to_string())?;
    }
    ensure!(threads_in(pid, "threaded")? == (2, 3));
    ensure!(judged.group.members()? == tids[1..3]);
    // A thread is where its maker is.
    write(below.0.join("cgroup.threads"), pid.to_string())?;
    ensure!(puppet.call(THREAD)? == 0);
    ensure!(threads_in(pid, "threaded")? == (4, 2));
    for tid in &tids {
        let _ = write(judged.cgroup.0.join("cgroup.threads"), tid.to_string());
    }
    ensure!(threads_in(pid, "threaded")? == (1, 5));
    drop(puppet);
    drop(below);
    Ok(())
}

/// What it is doing does not matter to who comes and goes.
fn cgroup_frozen() -> Result<()> {
    let judged = judged("frozen")?;
    let mut puppet = caller()?;
    judged.cgroup.set("none")?;
    judged.cgroup.take(puppet.tid())?;
    let freeze = judged.cgroup.0.join("cgroup.freeze");
    let frozen = |what: &str| {
        let events = judged.cgroup.0.join("cgroup.events");
        let line = format!("frozen {what}");
        until("it is frozen or not", || {
            Ok(fs::read_to_string(&events)?.contains(&line))
        })
    };
    write(&freeze, "1")?;
    frozen("1")?;
    judged.cgroup.set("frozen")?;
    ensure_in(puppet.tid(), "frozen")?;
    puppet.send(0)?;
    write(&freeze, "0")?;
    ensure!(puppet.reply()? == EPERM, "it was not judged");
    write(&freeze, "1")?;
    frozen("1")?;
    judged.cgroup.set("none")?;
    ensure_in(puppet.tid(), "none")?;
    write(&freeze, "0")?;
    ensure!(puppet.call(0)? != EPERM, "it is judged still");
    // Nor does it to attaching.
    write(&freeze, "1")?;
    frozen("1")?;
    judged.group.join(puppet.tid())?;
    write(&freeze, "0")?;
    ensure!(puppet.call(0)? == EPERM, "it was not judged");
    judged.group.leave(puppet.tid())
}

fn cgroup_killed() -> Result<()> {
    let judged = judged("killed")?;
    for _ in 0..process::rounds(20) {
        let mut puppets = Vec::new();
        for _ in 0..10 {
            let puppet = parent()?;
            judged.cgroup.take(puppet.tid())?;
            puppets.push(puppet);
        }
        ensure!(judged.group.members()?.len() == 10);
        write(judged.cgroup.0.join("cgroup.kill"), "1")?;
        until("all have left", || Ok(judged.group.members()?.is_empty()))?;
    }
    Ok(())
}

/// Neither is removed under the other, if not by force.
fn cgroup_keeps_its_group() -> Result<()> {
    let judged = judged("kept")?;
    let rmdir = |group: &Group| {
        let error = fs::remove_dir(group.path("")).err();
        error.and_then(|e| e.raw_os_error()).unwrap_or(0)
    };
    ensure!(rmdir(&judged.group) == libc::EBUSY);
    // A cgroup can go at any time, and then does not keep it.
    let Judged {
        cgroup,
        group,
        _policy,
    } = judged;
    drop(cgroup);
    ensure!(rmdir(&group) == 0, "a cgroup that is gone keeps it");
    let cgroup = Cgroup::new("kept")?;
    let error = cgroup.set("kept").err().and_then(|e| e.raw_os_error());
    ensure!(error == Some(libc::ENOENT), "{error:?}");
    // One that has the name now is another.
    let group = Group::new("kept")?;
    ensure!(cgroup.get()? == "none");
    group.end()
}

fn cgroup_of_a_bind_mount() -> Result<()> {
    let judged = judged("bound")?;
    let mut puppet = caller()?;
    let at = PathBuf::from("/run/slowpath-bound");
    fs::create_dir_all(&at)?;
    let (from, to) = (
        std::ffi::CString::new(judged.cgroup.0.to_str().context("a path")?)?,
        c"/run/slowpath-bound",
    );
    let args = [
        from.as_ptr() as u64,
        to.as_ptr() as u64,
        0,
        libc::MS_BIND,
        0,
    ];
    make("mount", libc::SYS_mount, &args)?;
    let result = (|| -> Result<()> {
        write(at.join("cgroup.procs"), puppet.tid().to_string())?;
        ensure!(puppet.call(0)? == EPERM);
        write(at.join("slowpath.group"), "none")?;
        ensure!(puppet.call(0)? != EPERM);
        write(at.join("slowpath.group"), "bound")?;
        ensure!(puppet.call(0)? == EPERM);
        ensure!(judged.cgroup.get()? == "bound");
        Cgroup::let_go(puppet.tid())
    })();
    make("umount", libc::SYS_umount2, &[to.as_ptr() as u64, 0])?;
    result
}

/// Root of a container sees its cgroup as the root of all, and can take no task out of the group,
/// nor turn it off.
fn cgroup_of_a_namespace() -> Result<()> {
    let judged = judged("namespace")?;
    let cgroup = judged.cgroup.0.clone();
    let child = Child::run(|| {
        judged.cgroup.take(std::process::id() as i32)?;
        process::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWCGROUP | libc::CLONE_NEWNS)?;
        fs::write("/proc/self/uid_map", "0 0 1\n")?;
        ensure!(process::getppid() == EPERM, "it is free");
        let own = PathBuf::from("/run/slowpath-own");
        fs::create_dir_all(&own)?;
        let mount = [
            c"none".as_ptr() as u64,
            c"/run/slowpath-own".as_ptr() as u64,
            c"cgroup2".as_ptr() as u64,
            0,
            0,
        ];
        make("mount", libc::SYS_mount, &mount)?;
        for dir in [&own, &cgroup] {
            let error = write(dir.join("slowpath.group"), "none").err();
            let error = error.and_then(|e| e.raw_os_error());
            ensure!(error == Some(libc::EPERM), "{}: {error:?}", dir.display());
        }
        // It can make one below, which is as this one.
        fs::create_dir(own.join("mine"))?;
        write(own.join("mine/cgroup.procs"), "0")?;
        ensure!(process::getppid() == EPERM, "it is free below");
        let error = write(own.join("mine/slowpath.group"), "none").err();
        ensure!(error.and_then(|e| e.raw_os_error()) == Some(libc::EPERM));
        write(own.join("cgroup.procs"), "0")?;
        fs::remove_dir(own.join("mine"))?;
        ensure!(process::getppid() == EPERM, "it is free again");
        Ok(())
    })?;
    child.wait_success()
}

fn cgroup_exec_stays() -> Result<()> {
    let judged = judged("exec")?;
    let child = Child::fork(|| {
        let path = c"/bin/sleep".as_ptr() as u64;
        let argv = [path, c"1000".as_ptr() as u64, 0];
        let args = [path, argv.as_ptr() as u64, 0, 0, 0, 0];
        if judged.cgroup.take(std::process::id() as i32).is_err() {
            return 1;
        }
        -syscall(libc::SYS_execve, args) as i32
    })?;
    until("the program runs", || {
        let comm = fs::read_to_string(format!("/proc/{}/comm", child.pid))?;
        Ok(comm.trim() == "sleep")
    })?;
    ensure_in(child.pid, "exec")?;
    ensure!(judged.group.members()? == [child.pid]);
    Ok(())
}

/// Restricts the current task so that Landlock has it trace nobody else.
fn restrict() -> Result<()> {
    const CREATE_RULESET: i64 = 444;
    const RESTRICT_SELF: i64 = 446;

    // It handles the making of directories, and allows it nowhere.
    let attr: [u64; 1] = [1 << 7];
    let args = [attr.as_ptr() as u64, 8, 0, 0, 0, 0];
    let fd = syscall(CREATE_RULESET, args);
    if fd == -i64::from(libc::ENOSYS) || fd == -i64::from(libc::EOPNOTSUPP) {
        return Err(crate::Skip("there is no Landlock").into());
    }
    ensure!(fd >= 0, "landlock_create_ruleset: {fd}");
    make("landlock_restrict_self", RESTRICT_SELF, &[fd as u64, 0])?;
    Ok(())
}

/// A security module has its say, and where it says no, that is counted, and logged.
fn cgroup_keeps_out_what_must_not_be_traced() -> Result<()> {
    // Whether there is one that can be asked.
    let skip = Child::fork(|| i32::from(restrict().is_err_and(|e| e.is::<crate::Skip>())))?;
    if skip.wait()? == 1 {
        return restrict();
    }
    let judged = judged("kept-out")?;
    let mut puppet = caller()?;
    judged.cgroup.set("none")?;
    judged.cgroup.take(puppet.tid())?;
    let events = |count: u64| -> Result<()> {
        let events = fs::read_to_string(judged.cgroup.0.join("slowpath.events"))?;
        ensure!(events == format!("kept_out {count}\n"), "{events}");
        Ok(())
    };
    events(0)?;
    // Opened before, and written by a task that must not trace others.
    let mut file = fs::OpenOptions::new()
        .write(true)
        .open(judged.cgroup.0.join("slowpath.group"))?;
    let writer = Child::run(|| {
        restrict()?;
        io::Write::write_all(&mut file, b"kept-out")?;
        Ok(())
    })?;
    writer.wait_success()?;
    ensure!(judged.cgroup.get()? == "kept-out");
    ensure_in(puppet.tid(), "none")?;
    ensure!(puppet.call(0)? != EPERM, "it is judged");
    events(1)?;
    let log = std::process::Command::new("/bin/dmesg").output()?.stdout;
    let line = format!("keeps task {} ", puppet.tid());
    ensure!(
        String::from_utf8_lossy(&log).contains(&line),
        "it is not logged"
    );
    // Who comes is kept out, too.
    let other = caller()?;
    judged.cgroup.take(other.tid())?;
    ensure_in(other.tid(), "none")?;
    events(2)?;
    // And in, when somebody else says so.
    judged.cgroup.set("kept-out")?;
    ensure_in(puppet.tid(), "kept-out")?;
    ensure_in(other.tid(), "kept-out")?;
    ensure!(puppet.call(0)? == EPERM, "it is free");
    events(2)
}
