// SPDX-License-Identifier: GPL-2.0

//! No way out: whatever a task without privileges does, it and its descendants stay attached, and
//! their calls are judged.

use super::{bad_input::become_nobody, cgroups::Cgroup};
use crate::{
    process::{
        self, getppid, gettid, make, syscall, unshare, until, Child, Shared, DOORS, GETPPID,
    },
    slowpath::{tasks, Group, Policy},
};
use anyhow::{bail, ensure, Context, Result};
use std::{
    ffi::{c_char, CStr},
    fs,
    io::Write,
    os::fd::{AsRawFd, FromRawFd},
    ptr::null,
    sync::atomic::{AtomicU64, Ordering::SeqCst},
};

super::tests! {
    [] =>
        escape_by_exec
        escape_by_exec_of_descriptor
        escape_by_exec_of_script
        escape_by_failed_exec
        escape_by_session
        escape_by_reparenting
        escape_by_prctl
        escape_by_personality
        escape_by_unshare
        escape_by_setns
        escape_by_knobs_in_a_container;
    [Cpus] =>
        escape_by_exec_of_thread;
}

/// What the tries call, and are refused. Nothing that they need besides.
const RULES: &str = "getppid errno EPERM\nchdir errno EPERM\nio_uring_setup errno EPERM";

pub(super) const EPERM: i64 = -(libc::EPERM as i64);

/// The calls that were made, and those that were refused.
static CALLS: Shared<[AtomicU64; 2]> = Shared::new();

pub(super) fn calls() -> [u64; 2] {
    CALLS.each_ref().map(|n| n.load(SeqCst))
}

/// Ends the process if there was no call.
pub(super) fn count(ret: i64) {
    if ret < 0 && ret != EPERM {
        eprintln!("the way leads to no call: {ret}");
        process::exit(5);
    }
    CALLS[usize::from(ret == EPERM)].fetch_add(1, SeqCst);
}

pub(super) fn try_call() {
    count(getppid());
}

pub(super) fn run(f: impl FnOnce() -> Result<()>) -> Result<()> {
    Child::run(f)?.wait_success()
}

pub(super) fn child_tries() -> Result<()> {
    run(|| {
        try_call();
        Ok(())
    })
}

/// How a process comes to a group.
#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    Free,
    Joined,
    ByCgroup,
}

/// Has a process without privileges try to make calls that are refused: once while it is free, to
/// see that the way leads to the calls; once in a group that it has joined; and once in its
/// cgroup's.
pub(super) fn no_way_out(f: impl Fn() -> Result<()>) -> Result<()> {
    // Mapped now, so that all descendants share them.
    let _ = (&*CALLS, &*super::escape_forks::FIRST);
    let policy = Policy::new("test", RULES)?;
    let group = Group::new("test")?;
    group.set("policy", "test")?;
    let cgroup = Cgroup::new("escape")?;
    cgroup.set("test")?;
    for how in [How::Free, How::Joined, How::ByCgroup] {
        run(|| {
            match how {
                How::Free => {}
                How::Joined => group.join(gettid())?,
                How::ByCgroup => cgroup.take(gettid())?,
            }
            ensure!(become_nobody());
            // Its files in /proc are its own, and it can be traced, as after an exec.
            prctl(libc::PR_SET_DUMPABLE, 1)?;
            f()
        })
        .with_context(|| format!("{how:?}"))?;
        let [made, refused] = calls();
        if how == How::Free {
            ensure!(made > 0 && refused == 0, "free: {made}, {refused} refused");
        } else {
            let want = made * how as u64;
            ensure!(refused == want, "{how:?}: {refused} of {want} are refused");
        }
    }
    let [_, refused] = calls();
    let hits = policy.hits(1)? + policy.hits(2)? + policy.hits(3)?;
    ensure!(hits >= refused, "something else has refused them: {hits}");
    ensure!(tasks()?.is_empty());
    until("nobody is left", || Ok(group.members()?.is_empty()))?;
    drop(cgroup);
    group.end()
}

fn prctl(option: i32, value: u64) -> Result<()> {
    make("prctl", libc::SYS_prctl, &[option as u64, value]).map(drop)
}

/// What the programs run: a shell that makes a call, and says whether it could.
const SCRIPT: &CStr = c"cd / 2>/dev/null || exit 3";

type Arguments = [*const c_char; 5];

const SHELL: Arguments = [
    c"sh".as_ptr(),
    c"-c".as_ptr(),
    SCRIPT.as_ptr(),
    null(),
    null(),
];

fn exec(program: &CStr, arguments: &Arguments) -> i64 {
    let (program, arguments) = (program.as_ptr() as u64, arguments.as_ptr() as u64);
    syscall(libc::SYS_execve, [program, arguments, 0, 0, 0, 0])
}

/// Counts the call of the program that `f` executes in a child.
fn try_exec(f: impl FnOnce() -> i64) -> Result<()> {
    match Child::fork(|| f() as i32)?.wait()? {
        0 => count(0),
        3 => count(EPERM),
        other => bail!("the program ends with {other}"),
    }
    Ok(())
}

fn escape_by_exec() -> Result<()> {
    let loader = c"/lib64/ld-linux-x86-64.so.2";
    let by_loader = [
        loader.as_ptr(),
        c"/bin/sh".as_ptr(),
        SHELL[1],
        SHELL[2],
        null(),
    ];
    no_way_out(|| {
        try_exec(|| exec(c"/bin/sh", &SHELL))?;
        try_exec(|| exec(loader, &by_loader))
    })
}

fn exec_descriptor(fd: i32) -> i64 {
    let args = [
        fd as u64,
        c"".as_ptr() as u64,
        SHELL.as_ptr() as u64,
        0,
        libc::AT_EMPTY_PATH as u64,
        0,
    ];
    syscall(libc::SYS_execveat, args)
}

fn escape_by_exec_of_descriptor() -> Result<()> {
    no_way_out(|| {
        let file = fs::File::open("/bin/sh")?;
        try_exec(|| exec_descriptor(file.as_raw_fd()))?;
        let name = c"copy".as_ptr() as u64;
        let fd = make("memfd_create", libc::SYS_memfd_create, &[name, 0])?;
        // SAFETY: Just opened.
        let mut memory = unsafe { fs::File::from_raw_fd(fd as i32) };
        memory.write_all(&fs::read("/bin/sh")?)?;
        try_exec(|| exec_descriptor(memory.as_raw_fd()))
    })
}

fn escape_by_exec_of_script() -> Result<()> {
    let path = c"/tmp/slowpath-script";
    let text = format!("#!/bin/sh\n{}\n", SCRIPT.to_str()?);
    fs::write(path.to_str()?, text)?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(path.to_str()?, mode)?;
    let result = no_way_out(|| try_exec(|| exec(path, &SHELL)));
    fs::remove_file(path.to_str()?)?;
    result
}

fn escape_by_exec_of_thread() -> Result<()> {
    no_way_out(|| {
        try_exec(|| {
            std::thread::spawn(|| exec(c"/bin/sh", &SHELL));
            loop {
                process::pause();
            }
        })
    })
}

fn escape_by_failed_exec() -> Result<()> {
    no_way_out(|| {
        for (program, error) in [
            (c"/nowhere", libc::ENOENT),
            (c"/", libc::EACCES),
            (c"", libc::ENOENT),
        ] {
            let ret = exec(program, &SHELL);
            ensure!(ret == -i64::from(error), "{program:?}: {ret}");
            try_call();
        }
        // Far enough to have a new stack, and too long for that.
        let long = vec![b'x'; 1 << 20];
        let long = std::ffi::CString::new(long)?;
        let arguments = [long.as_ptr(), null(), null(), null(), null()];
        let ret = exec(c"/bin/sh", &arguments);
        ensure!(ret == -i64::from(libc::E2BIG), "{ret}");
        try_call();
        Ok(())
    })
}

fn escape_by_session() -> Result<()> {
    no_way_out(|| {
        run(|| {
            make("setpgid", libc::SYS_setpgid, &[0, 0])?;
            try_call();
            Ok(())
        })?;
        run(|| {
            make("setsid", libc::SYS_setsid, &[])?;
            try_call();
            child_tries()
        })
    })
}

/// Waits until a process was reaped.
pub(super) fn until_gone(pid: u32) -> Result<()> {
    until("gone", || {
        let ret = syscall(libc::SYS_kill, [pid.into(), 0, 0, 0, 0, 0]);
        Ok(ret == -i64::from(libc::ESRCH))
    })
}

/// To init, and to a process that takes in its descendants.
fn escape_by_reparenting() -> Result<()> {
    no_way_out(|| {
        for subreaper in [0, 1] {
            prctl(libc::PR_SET_CHILD_SUBREAPER, subreaper)?;
            let before = calls();
            run(|| {
                let parent = std::process::id();
                let orphan = Child::run(|| {
                    make("setsid", libc::SYS_setsid, &[])?;
                    until_gone(parent)?;
                    try_call();
                    Ok(())
                })?;
                std::mem::forget(orphan);
                Ok(())
            })?;
            until("the orphan calls", || Ok(calls() != before))?;
        }
        Ok(())
    })
}

fn escape_by_prctl() -> Result<()> {
    no_way_out(|| {
        for (option, value) in [
            (libc::PR_SET_DUMPABLE, 0),
            (libc::PR_SET_DUMPABLE, 1),
            (libc::PR_SET_NAME, c"kthreadd".as_ptr() as u64),
            (libc::PR_SET_KEEPCAPS, 1),
            (libc::PR_SET_PDEATHSIG, 0),
            (libc::PR_SET_TIMERSLACK, 1),
            (libc::PR_SET_THP_DISABLE, 1),
            // Flags that are next to ours.
            (libc::PR_SET_TSC, libc::PR_TSC_SIGSEGV as u64),
            (libc::PR_SET_TSC, libc::PR_TSC_ENABLE as u64),
            (libc::PR_SET_NO_NEW_PRIVS, 1),
        ] {
            prctl(option, value)?;
            try_call();
            if value != libc::PR_TSC_SIGSEGV as u64 || option != libc::PR_SET_TSC {
                try_exec(|| exec(c"/bin/sh", &SHELL))?;
            }
        }
        Ok(())
    })
}

fn escape_by_personality() -> Result<()> {
    const PER_LINUX32: u64 = 8;
    const PER_BSD: u64 = 6;
    const READ_IMPLIES_EXEC: u64 = 0x40_0000;

    no_way_out(|| {
        for persona in [PER_LINUX32, PER_BSD, READ_IMPLIES_EXEC, 0] {
            make("personality", libc::SYS_personality, &[persona])?;
            for door in DOORS {
                count(door.call(GETPPID, [0; 3]));
            }
            try_exec(|| exec(c"/bin/sh", &SHELL))?;
        }
        Ok(())
    })
}

pub(super) const CLONE_NEWTIME: i32 = 0x80;

/// All of them that one who owns a user namespace may have.
pub(super) const NAMESPACES: [i32; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWPID,
    CLONE_NEWTIME,
];

fn escape_by_unshare() -> Result<()> {
    no_way_out(|| {
        let shared = [libc::CLONE_FILES, libc::CLONE_FS, libc::CLONE_SYSVSEM];
        for flags in shared.into_iter().chain([libc::CLONE_NEWUSER]) {
            unshare(flags)?;
            try_call();
        }
        for flags in NAMESPACES {
            unshare(flags)?;
            try_call();
        }
        // The first process of the new PID namespace, in the new time namespace.
        run(|| {
            ensure!(std::process::id() == 1, "not in a PID namespace");
            try_call();
            Ok(())
        })
    })
}

/// Into the namespaces of a child, of which it is the owner.
fn escape_by_setns() -> Result<()> {
    let flags = libc::CLONE_NEWUSER
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWCGROUP;
    no_way_out(|| {
        let child = Child::run(|| {
            unshare(flags)?;
            loop {
                process::pause();
            }
        })?;
        process::until_blocked(child.pid, libc::SYS_pause)?;
        let fd = make("pidfd_open", libc::SYS_pidfd_open, &[child.pid as u64, 0])?;
        make("setns", libc::SYS_setns, &[fd as u64, flags as u64])?;
        try_call();
        child_tries()
    })
}

/// As root of namespaces of its own, it mounts the files that would let it go, and may not open
/// them.
fn escape_by_knobs_in_a_container() -> Result<()> {
    let at = c"/tmp/slowpath-container";
    let path = at.to_str()?;
    fs::create_dir_all(path)?;
    let mount = |kind: &CStr| {
        let (kind, at) = (kind.as_ptr() as u64, at.as_ptr() as u64);
        syscall(libc::SYS_mount, [kind, at, kind, 0, 0, 0])
    };
    let result = no_way_out(|| {
        unshare(
            NAMESPACES
                .iter()
                .fold(libc::CLONE_NEWUSER, |all, one| all | one),
        )?;
        fs::write("/proc/self/uid_map", "0 65534 1")?;
        run(|| {
            for kind in [c"configfs", c"debugfs", c"tracefs"] {
                let ret = mount(kind);
                ensure!(ret == EPERM, "mounting {kind:?}: {ret}");
            }
            ensure!(mount(c"sysfs") == 0, "mounting sysfs");
            let mut files = vec!["detach".into(), "enabled".into(), "force_all".into()];
            for task in fs::read_dir(format!("{path}/kernel/slowpath/tasks"))? {
                let task = task?.file_name().into_string().ok().context("a name")?;
                files.push(format!("tasks/{task}/enabled"));
                files.push(format!("tasks/{task}/policy"));
            }
            for file in files {
                let file = format!("{path}/kernel/slowpath/{file}");
                let error = fs::OpenOptions::new().write(true).open(&file).err();
                let errno = error.and_then(|e| e.raw_os_error());
                ensure!(errno == Some(libc::EACCES), "{file}: {errno:?}");
            }
            try_call();
            Ok(())
        })
    });
    fs::remove_dir(path)?;
    result
}
