// SPDX-License-Identifier: GPL-2.0

//! No way out: whatever a task without privileges does, it and its descendants stay attached, and
//! their calls are judged.

use super::bad_input::become_nobody;
use crate::{
    process::{
        self, getppid, gettid, reap, syscall, until, Child, Door, Numbers, Shared, DOORS, GETPPID,
    },
    slowpath::{attach, tasks, Policy},
};
use anyhow::{bail, ensure, Context, Result};
use std::{
    ffi::{c_char, CStr},
    fs,
    io::Write,
    os::fd::{AsRawFd, FromRawFd},
    ptr::null,
    sync::atomic::{AtomicI64, AtomicU64, Ordering::SeqCst},
};

super::tests! {
    escape_by_exec
    escape_by_exec_of_descriptor
    escape_by_exec_of_script
    escape_by_exec_of_thread
    escape_by_failed_exec
    escape_by_session
    escape_by_reparenting
    escape_by_prctl
    escape_by_personality
    escape_by_unshare
    escape_by_setns
    escape_by_knobs_in_a_container
    escape_by_clone
    escape_by_clone3
    escape_by_clone3_with_tid
    escape_by_limits
    escape_by_exit_of_leader
    escape_by_death_of_vfork_parent
}

/// What the tries call, and are refused. Nothing that they need besides.
const RULES: &str = "getppid errno EPERM\nchdir errno EPERM\nio_uring_setup errno EPERM";

pub(super) const EPERM: i64 = -(libc::EPERM as i64);

/// The calls that were made, and those that were refused.
static CALLS: Shared<[AtomicU64; 2]> = Shared::new();

fn calls() -> [u64; 2] {
    CALLS.each_ref().map(|n| n.load(SeqCst))
}

pub(super) fn count(ret: i64) {
    CALLS[usize::from(ret == EPERM)].fetch_add(1, SeqCst);
}

pub(super) fn try_call() {
    count(getppid());
}

fn run(f: impl FnOnce() -> Result<()>) -> Result<()> {
    Child::run(f)?.wait_success()
}

pub(super) fn child_tries() -> Result<()> {
    run(|| {
        try_call();
        Ok(())
    })
}

/// Has a process without privileges try to make calls that are refused: once while it is free, to
/// see that the way leads to the calls, and once while it is attached.
pub(super) fn no_way_out(f: impl Fn() -> Result<()>) -> Result<()> {
    // Mapped now, so that all descendants share them.
    let _ = (&*CALLS, &*FIRST);
    let policy = Policy::new("test", RULES)?;
    for attached in [false, true] {
        run(|| {
            if attached {
                let task = attach(gettid())?;
                task.set("inherit", "1")?;
                task.set("policy", "test")?;
            }
            ensure!(become_nobody());
            // Its files in /proc are its own, and it can be traced, as after an exec.
            prctl(libc::PR_SET_DUMPABLE, 1)?;
            f()
        })
        .context(if attached { "attached" } else { "free" })?;
        if !attached {
            let [made, refused] = calls();
            ensure!(made > 0 && refused == 0, "free: {made}, {refused} refused");
        }
    }
    let [made, refused] = calls();
    ensure!(made == refused, "{made} calls are made, {refused} refused");
    let hits = policy.hits(1)? + policy.hits(2)? + policy.hits(3)?;
    ensure!(hits >= refused, "something else has refused them: {hits}");
    until("no attachment is left", || Ok(tasks()?.is_empty()))
}

/// A call that a try needs.
pub(super) fn make(what: &str, nr: i64, args: &[u64]) -> Result<i64> {
    let mut all = [0; 6];
    all[..args.len()].copy_from_slice(args);
    let ret = syscall(nr, all);
    ensure!(ret >= 0, "{what}: {ret}");
    Ok(ret)
}

fn prctl(option: i32, value: u64) -> Result<()> {
    make("prctl", libc::SYS_prctl, &[option as u64, value]).map(drop)
}

fn unshare(flags: i32) -> Result<()> {
    make(
        &format!("unshare {flags:#x}"),
        libc::SYS_unshare,
        &[flags as u64],
    )
    .map(drop)
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
fn until_gone(pid: u32) -> Result<()> {
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

const CLONE_NEWTIME: i32 = 0x80;

/// All of them that one who owns a user namespace may have.
const NAMESPACES: [i32; 7] = [
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

/// What the first call of a new task returned.
static FIRST: Shared<AtomicI64> = Shared::new();

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
