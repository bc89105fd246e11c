// SPDX-License-Identifier: GPL-2.0

//! Groups as configfs has them.

use super::{
    bad_input::{become_nobody, keep_only_sys_admin},
    cgroups::Cgroup,
    groups::{ensure_in, errno, forked, parent, threads_in, THREAD},
    samples::Sample,
};
use crate::{
    process::{self, getppid, gettid, make, syscall, until, Child, Puppet},
    slowpath::{attach, detach, write, Group, Policy, GROUPS},
};
use anyhow::{ensure, Context, Result};
use std::{
    fs, io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    sync::atomic::{AtomicI64, Ordering::SeqCst},
};

super::tests! {
    [Cpus] =>
        group_joined_by_process
        group_joined_by_task
        group_joined_by_pidfd
        group_left_by_all
        group_joined_as_a_whole
        group_joined_before_the_first_call
        group_has_a_switch
        group_chooses_the_exit_path
        group_follow_decides;
    [] =>
        group_shows_defaults
        group_in_use_is_not_removed
        group_keeps_its_policy
        group_members_in_a_pid_namespace
        group_of_many
        group_of_a_sample_has_a_name
        bad_group_names
        bad_group_number
        bad_group_input
        bad_group_whom
        bad_group_unprivileged;
}

const EPERM: i64 = -(libc::EPERM as i64);

fn caller() -> Result<Puppet> {
    let puppet = Puppet::new(|_| getppid())?;
    puppet.until_idle()?;
    Ok(puppet)
}

/// A process with so many threads, its leader among them.
fn of_threads(number: usize) -> Result<Puppet> {
    let mut puppet = parent()?;
    for _ in 1..number {
        ensure!(puppet.call(THREAD)? == 0);
    }
    Ok(puppet)
}

fn threads(pid: i32) -> Result<Vec<i32>> {
    let mut tids = Vec::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        tids.push(thread?.file_name().to_string_lossy().parse()?);
    }
    tids.sort_unstable();
    Ok(tids)
}

fn group_shows_defaults() -> Result<()> {
    let group = Group::new("test")?;
    for (file, value) in [
        ("policy", "none"),
        ("follow", "all"),
        ("enabled", "1"),
        ("exit_path", "auto"),
        ("count_exits", "0"),
        ("members", ""),
        ("calls", "off"),
        ("latency", "off"),
    ] {
        let shown = group.get(file)?;
        ensure!(shown == value, "{file} is {shown}");
    }
    let stats = group.get("stats")?;
    ensure!(stats.lines().count() == 27, "{stats}");
    ensure!(stats.lines().all(|line| line.ends_with(" 0")), "{stats}");
    for (file, value) in [
        ("follow", "threads"),
        ("enabled", "0"),
        ("exit_path", "iret"),
        ("count_exits", "1"),
    ] {
        group.set(file, value)?;
        ensure!(group.get(file)? == value, "{file}");
    }
    group.end()
}

fn group_joined_by_process() -> Result<()> {
    let puppet = of_threads(51)?;
    let pid = puppet.tid();
    let group = Group::new("test")?;
    group.join(pid)?;
    ensure!(group.members()? == threads(pid)?, "{:?}", group.members()?);
    ensure!(threads_in(pid, "test")? == (51, 0));
    // Again is nothing new.
    group.join(pid)?;
    ensure!(group.members()?.len() == 51);
    group.leave(pid)?;
    ensure!(threads_in(pid, "none")? == (51, 0));
    ensure!(errno(group.leave(pid))? == libc::ESRCH);
    group.end()
}

fn group_joined_by_task() -> Result<()> {
    let puppet = of_threads(3)?;
    let pid = puppet.tid();
    let tids = threads(pid)?;
    let group = Group::new("test")?;
    group.join_task(tids[1])?;
    ensure!(group.members()? == [tids[1]]);
    // The rest of the process may come later.
    group.join(pid)?;
    ensure!(group.members()? == tids);
    group.set("leave", &format!("task {}", tids[2]))?;
    ensure!(group.members()? == tids[..2]);
    // The number of a thread is not that of a process.
    ensure!(errno(group.join(tids[2]))? == libc::ESRCH);
    group.leave(pid)?;
    group.end()
}

fn pidfd(pid: i32, flags: i32) -> Result<OwnedFd> {
    let fd = make("pidfd", libc::SYS_pidfd_open, &[pid as u64, flags as u64])?;
    // SAFETY: Just opened, and owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

fn group_joined_by_pidfd() -> Result<()> {
    let puppet = of_threads(3)?;
    let pid = puppet.tid();
    let tids = threads(pid)?;
    let group = Group::new("test")?;
    let whole = pidfd(pid, 0)?;
    let thread = pidfd(tids[1], libc::O_EXCL)?;
    let word = |fd: &OwnedFd| format!("pidfd {}", fd.as_raw_fd());
    group.set("join", &word(&thread))?;
    ensure!(group.members()? == [tids[1]]);
    group.set("join", &word(&whole))?;
    ensure!(group.members()? == tids);
    group.set("leave", &word(&thread))?;
    ensure!(group.members()? == [tids[0], tids[2]]);
    group.set("leave", &word(&whole))?;
    ensure!(group.members()?.is_empty());
    let file = fs::File::open("/dev/null")?;
    for (fd, error) in [(file.as_raw_fd(), libc::EBADF), (1000, libc::EBADF)] {
        ensure!(errno(group.set("join", &format!("pidfd {fd}")))? == error);
    }
    drop(puppet);
    // Whoever has the number by now.
    ensure!(errno(group.set("join", &word(&whole)))? == libc::ESRCH);
    group.end()
}

fn group_left_by_all() -> Result<()> {
    let puppets = (0..20)
        .map(|_| of_threads(11))
        .collect::<Result<Vec<_>>>()?;
    let group = Group::new("test")?;
    for puppet in &puppets {
        group.join(puppet.tid())?;
    }
    ensure!(group.members()?.len() == 220);
    group.set("leave", "all")?;
    ensure!(group.members()?.is_empty());
    for puppet in &puppets {
        ensure!(threads_in(puppet.tid(), "none")? == (11, 0));
    }
    fs::remove_dir(group.path(""))?;
    Ok(())
}

/// All threads, or none.
fn group_joined_as_a_whole() -> Result<()> {
    let puppet = of_threads(30)?;
    let pid = puppet.tid();
    let last = threads(pid)?[29];
    let (group, other) = (Group::new("test")?, Group::new("other")?);
    other.join_task(last)?;
    ensure!(errno(group.join(pid))? == libc::EBUSY);
    ensure!(group.members()?.is_empty() && other.members()? == [last]);
    let log = std::process::Command::new("/bin/dmesg").output()?.stdout;
    let line =
        format!("task {last} (slowpath-selfte) cannot join group test: it is in group other");
    ensure!(
        String::from_utf8_lossy(&log).contains(&line),
        "it is not logged"
    );
    other.end()?;
    attach(last)?;
    ensure!(errno(group.join(pid))? == libc::EBUSY);
    detach(last)?;
    group.join(pid)?;
    ensure!(group.members()?.len() == 30);
    group.end()
}

fn group_joined_before_the_first_call() -> Result<()> {
    let _policy = Policy::new("test", "getppid errno EPERM")?;
    let group = Group::new("test")?;
    group.set("policy", "test")?;
    for _ in 0..process::rounds(50) {
        let child = Child::run(|| {
            group.join(std::process::id() as i32)?;
            ensure!(getppid() == EPERM, "its next call was not judged");
            let child = Child::fork(|| i32::from(getppid() != EPERM))?;
            ensure!(child.wait()? == 0, "a child's first call was not judged");
            group.leave(std::process::id() as i32)?;
            ensure!(getppid() != EPERM, "its next call was judged");
            Ok(())
        })?;
        child.wait_success()?;
    }
    group.end()
}

fn group_has_a_switch() -> Result<()> {
    let _policy = Policy::new("test", "getppid errno EPERM")?;
    let group = Group::new("test")?;
    group.set("policy", "test")?;
    let mut puppets = (0..40).map(|_| caller()).collect::<Result<Vec<_>>>()?;
    for puppet in &puppets {
        group.join(puppet.tid())?;
    }
    for (switch, refused) in [("0", false), ("1", true)] {
        group.set("enabled", switch)?;
        for puppet in &mut puppets {
            ensure!((puppet.call(0)? == EPERM) == refused, "with {switch}");
        }
    }
    // One that comes while it is off.
    group.set("enabled", "0")?;
    let mut late = caller()?;
    group.join(late.tid())?;
    ensure!(late.call(0)? != EPERM);
    group.set("enabled", "1")?;
    ensure!(late.call(0)? == EPERM);
    group.end()
}

fn group_chooses_the_exit_path() -> Result<()> {
    let group = Group::new("test")?;
    group.set("exit_path", "iret")?;
    group.set("count_exits", "1")?;
    let mut puppet = caller()?;
    group.join(puppet.tid())?;
    puppet.call(0)?;
    puppet.until_idle()?;
    let (iret, sysret) = (group.stat("iret")?, group.stat("sysret")?);
    ensure!(iret > 0 && sysret == 0, "{iret} {sysret}");
    group.set("exit_path", "auto")?;
    puppet.call(0)?;
    puppet.until_idle()?;
    ensure!(group.stat("iret")? == iret && group.stat("sysret")? > 0);
    group.end()
}

fn group_follow_decides() -> Result<()> {
    let group = Group::new("test")?;
    for (follow, thread, child) in [
        ("all", true, true),
        ("threads", true, false),
        ("none", false, false),
    ] {
        group.set("follow", follow)?;
        let mut puppet = parent()?;
        group.join(puppet.tid())?;
        ensure!(puppet.call(THREAD)? == 0);
        let (in_it, not) = threads_in(puppet.tid(), "test")?;
        ensure!(
            (in_it, not) == if thread { (2, 0) } else { (1, 1) },
            "{follow}"
        );
        let forked = forked(&mut puppet)?;
        ensure_in(forked.0, if child { "test" } else { "none" }).context(follow)?;
        group.set("leave", "all")?;
    }
    group.end()
}

fn rmdir(group: &Group) -> Result<i32> {
    errno(fs::remove_dir(group.path("")).map_err(Into::into))
}

fn group_in_use_is_not_removed() -> Result<()> {
    let group = Group::new("test")?;
    let puppet = caller()?;
    group.join(puppet.tid())?;
    ensure!(rmdir(&group)? == libc::EBUSY);
    // It is as it was.
    ensure!(group.members()? == [puppet.tid()]);
    ensure!(group.stat("entries")? == 0);
    group.leave(puppet.tid())?;
    let cgroup = Cgroup::new("test")?;
    cgroup.set("test")?;
    ensure!(rmdir(&group)? == libc::EBUSY);
    cgroup.set("none")?;
    group.join(puppet.tid())?;
    drop(puppet);
    // The last one exits.
    until("it is free", || Ok(fs::remove_dir(group.path("")).is_ok()))?;
    // The name is free, too.
    Group::new("test")?.end()
}

fn group_keeps_its_policy() -> Result<()> {
    let policy = Policy::new("test", "getppid errno EPERM")?;
    let busy = || -> Result<bool> {
        match fs::remove_dir(policy.path("")) {
            Err(e) if e.raw_os_error() == Some(libc::EBUSY) => Ok(true),
            result => Ok(result.map(|()| false)?),
        }
    };
    let group = Group::new("test")?;
    group.set("policy", "test")?;
    ensure!(busy()?, "without members it does not keep it");
    group.set("policy", "test")?;
    group.set("policy", "none")?;
    group.set("policy", "test")?;
    ensure!(busy()?);
    fs::remove_dir(group.path(""))?;
    ensure!(!busy()?, "it is kept by a group that is gone");
    // One that is gone is not found.
    let group = Group::new("test")?;
    ensure!(errno(group.set("policy", "test"))? == libc::ENOENT);
    group.end()
}

/// As cgroup.threads has those who are not there.
fn group_members_in_a_pid_namespace() -> Result<()> {
    let group = Group::new("test")?;
    let puppet = caller()?;
    group.join(puppet.tid())?;
    let child = Child::run(|| {
        process::unshare(libc::CLONE_NEWPID)?;
        Child::run(|| {
            group.join(1)?;
            ensure!(group.members()? == [0, 1], "{:?}", group.members()?);
            ensure!(errno(group.join(puppet.tid()))? == libc::ESRCH);
            Ok(())
        })?
        .wait_success()
    })?;
    child.wait_success()?;
    ensure!(group.members()? == [puppet.tid()]);
    group.end()
}

/// Makes threads that sleep and have no stack, until there are so many, or no more can be made.
/// Returns how many.
fn sleepers(number: i64) -> i64 {
    const FLAGS: i32 = libc::CLONE_VM
        | libc::CLONE_FS
        | libc::CLONE_FILES
        | libc::CLONE_SIGHAND
        | libc::CLONE_THREAD
        | libc::CLONE_SYSVSEM;

    for made in 0..number {
        let result: i64;
        // SAFETY: The new thread uses registers alone, and never leaves the loop.
        unsafe {
            std::arch::asm!(
                "syscall",
                "test rax, rax",
                "jnz 3f",
                "2: mov eax, 34", // pause
                "syscall",
                "jmp 2b",
                "3:",
                inlateout("rax") libc::SYS_clone => result,
                in("rdi") FLAGS as u64,
                in("rsi") 0, in("rdx") 0, in("r10") 0, in("r8") 0,
                out("rcx") _, out("r11") _,
            );
        }
        if result < 0 {
            return made;
        }
    }
    number
}

fn memory(line: &str) -> Result<i64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let found = text
        .lines()
        .find(|l| l.starts_with(line))
        .context("no line")?;
    Ok(found
        .split_whitespace()
        .nth(1)
        .context("no number")?
        .parse()?)
}

/// How many of the puppet's threads there can be in half of the memory, and one for each round. A
/// kernel that checks itself needs several times as much for one as others do.
fn affordable(puppet: &mut Puppet) -> Result<i64> {
    let before = memory("MemAvailable:")?;
    ensure!(puppet.call(FEW)? == SOME_THREADS);
    let used = (before - memory("MemAvailable:")?).max(1);
    let most = before / 2 * SOME_THREADS / used;
    Ok(most.min(process::rounds(100_000).into()))
}

const SOME_THREADS: i64 = 1000;
const FEW: u8 = 1;
const MANY: u8 = 2;

/// A hundred thousand, where there is memory for them.
fn group_of_many() -> Result<()> {
    let limits = ["pid_max", "threads-max"].map(|name| format!("/proc/sys/kernel/{name}"));
    let before = limits
        .iter()
        .map(fs::read_to_string)
        .collect::<io::Result<Vec<_>>>()?;
    for limit in &limits {
        fs::write(limit, "200000")?;
    }
    let group = Group::new("test")?;
    let number = process::shared::<AtomicI64>();
    // SAFETY: Mapped, and never unmapped.
    let number = unsafe { &*number };
    let mut puppet = Puppet::new(move |what| match what {
        FEW => sleepers(SOME_THREADS),
        _ => sleepers(number.load(SeqCst)),
    })?;
    let result = (|| -> Result<()> {
        let more = affordable(&mut puppet)? - SOME_THREADS;
        number.store(more, SeqCst);
        let made = puppet.call(MANY)?;
        ensure!(made == more, "{made} of {more}");
        let all = (SOME_THREADS + more + 1) as usize;
        group.join(puppet.tid())?;
        ensure!(group.members()?.len() == all);
        group.set("enabled", "0")?;
        group.set("enabled", "1")?;
        group.set("leave", "all")?;
        ensure!(group.members()?.is_empty());
        eprintln!("{all} members");
        group.join(puppet.tid())?;
        Ok(())
    })();
    drop(puppet);
    until("they are gone", || Ok(group.members()?.is_empty()))?;
    for (limit, value) in limits.iter().zip(before) {
        fs::write(limit, value)?;
    }
    result?;
    group.end()
}

fn group_of_a_sample_has_a_name() -> Result<()> {
    let sample = Sample::load("deny_exec", "group=sandbox")?;
    ensure!(errno(Group::new("sandbox").map(drop))? == libc::EEXIST);
    let puppet = caller()?;
    let cgroup = Cgroup::new("sandbox")?;
    cgroup.set("sandbox")?;
    cgroup.take(puppet.tid())?;
    ensure_in(puppet.tid(), "sandbox")?;
    sample.unload()?;
    ensure_in(puppet.tid(), "none")?;
    let sample = Sample::load("iret", &format!("group=sandbox pid={}", puppet.tid()))?;
    ensure_in(puppet.tid(), "sandbox")?;
    sample.unload()?;
    let sample = Sample::load("iret", &format!("group=sandbox tid={}", puppet.tid()))?;
    ensure_in(puppet.tid(), "sandbox")?;
    sample.unload()?;
    for name in ["none", "a b"] {
        ensure!(
            Sample::load("iret", &format!("\"group={name}\"")).is_err(),
            "{name}"
        );
    }
    Ok(())
}

fn bad_group_names() -> Result<()> {
    let make = |name: &str| -> Result<i32> {
        errno(fs::create_dir(format!("{GROUPS}/{name}")).map_err(Into::into))
    };
    let _group = Group::new("test")?;
    for (name, error) in [
        ("none", libc::EINVAL),
        ("a b", libc::EINVAL),
        ("a\tb", libc::EINVAL),
        ("\u{fc}", libc::EINVAL),
        (&*"x".repeat(64), libc::EINVAL),
        (&*"x".repeat(256), libc::ENAMETOOLONG),
        ("test", libc::EEXIST),
        ("test/sub", libc::EPERM),
    ] {
        ensure!(make(name)? == error, "{name:?}");
    }
    Group::new("x".repeat(63))?.end()?;
    // There is nothing else to be made or removed here.
    for dir in ["policies", "groups", "others"] {
        let path = format!("{GROUPS}/../{dir}");
        ensure!(fs::create_dir(&path).is_err(), "{dir} was made");
        ensure!(fs::remove_dir(&path).is_err(), "{dir} was removed");
    }
    Ok(())
}

/// Those of tasks that are attached count, too.
fn bad_group_number() -> Result<()> {
    const MOST: usize = 4096;

    attach(gettid())?;
    let path = |i: usize| format!("{GROUPS}/many-{i}");
    for i in 1..MOST {
        fs::create_dir(path(i))?;
    }
    ensure!(errno(fs::create_dir(path(0)).map_err(Into::into))? == libc::E2BIG);
    detach(gettid())?;
    // It goes when no hook can use it any more.
    until("there is room", || Ok(fs::create_dir(path(0)).is_ok()))?;
    for i in 0..MOST {
        fs::remove_dir(path(i))?;
    }
    Ok(())
}

fn refused(group: &Group, file: &str, text: &[u8], error: i32) -> Result<()> {
    let result = write(group.path(file), text);
    let text = String::from_utf8_lossy(text);
    let found = errno(result.map_err(Into::into)).with_context(|| format!("{file} {text:?}"))?;
    ensure!(found == error, "{file} {text:?}: {found}, not {error}");
    Ok(())
}

fn bad_group_input() -> Result<()> {
    let group = Group::new("test")?;
    for text in [
        "\n",
        "ALL",
        "all threads",
        " all",
        "all ",
        "1",
        "all\n\n",
        "thread",
        "\u{ff}",
    ] {
        refused(&group, "follow", text.as_bytes(), libc::EINVAL)?;
    }
    for text in ["\n", "2", "on", "1 ", " 1", "1\n1"] {
        for file in ["enabled", "count_exits", "calls", "latency"] {
            refused(&group, file, text.as_bytes(), libc::EINVAL)?;
        }
    }
    for text in ["\n", "sysret", "auto iret"] {
        refused(&group, "exit_path", text.as_bytes(), libc::EINVAL)?;
    }
    refused(&group, "policy", b"\n", libc::EINVAL)?;
    for text in ["no-such", " none", "none ", "../x", "\u{e4}"] {
        refused(&group, "policy", text.as_bytes(), libc::ENOENT)?;
    }
    refused(&group, "policy", b"\xff\xfe", libc::ENOENT)?;
    for file in ["members", "stats"] {
        let open = fs::OpenOptions::new().write(true).open(group.path(file));
        ensure!(errno(open.map_err(Into::into))? == libc::EACCES, "{file}");
    }
    for file in ["join", "leave"] {
        let open = fs::File::open(group.path(file));
        ensure!(errno(open.map_err(Into::into))? == libc::EACCES, "{file}");
    }
    group.end()
}

fn bad_group_whom() -> Result<()> {
    let group = Group::new("test")?;
    let me = gettid();
    for file in ["join", "leave"] {
        for text in [
            "\n".to_string(),
            "process".into(),
            "process ".into(),
            "process x".into(),
            "process 0".into(),
            "process -1".into(),
            "process 4294967296".into(),
            "pidfd -1".into(),
            "pidfd".into(),
            "task".into(),
            format!("{me}"),
            format!("process  {me}"),
            format!(" process {me}"),
            format!("process {me} "),
            format!("process {me} {me}"),
            format!("process\t{me}"),
            format!("process {me}\n\n"),
            format!("process {me}\ntask {me}"),
            format!("Process {me}"),
            format!("thread {me}"),
            "all all".into(),
        ] {
            refused(&group, file, text.as_bytes(), libc::EINVAL)?;
        }
        for text in ["process 2147483647", "task 2147483647"] {
            refused(&group, file, text.as_bytes(), libc::ESRCH)?;
        }
    }
    refused(&group, "join", b"all", libc::EINVAL)?;
    // A kernel thread, and one that is dead.
    for text in ["process 2", "task 2"] {
        refused(&group, "join", text.as_bytes(), libc::EPERM)?;
    }
    let child = Child::fork(|| 0)?;
    child.wait_zombie()?;
    for kind in ["process", "task"] {
        let text = format!("{kind} {}", child.pid);
        refused(&group, "join", text.as_bytes(), libc::ESRCH)?;
    }
    // One that is not in it.
    refused(
        &group,
        "leave",
        format!("process {me}").as_bytes(),
        libc::ESRCH,
    )?;
    ensure!(group.members()?.is_empty());
    group.end()
}

fn bad_group_unprivileged() -> Result<()> {
    let group = Group::new("test")?;
    let me = gettid();
    // With what root has opened.
    let open = |file: &str| fs::OpenOptions::new().write(true).open(group.path(file));
    let files = [
        (open("join")?, format!("process {me}")),
        (open("leave")?, "all".into()),
        (open("policy")?, "none".into()),
        (open("follow")?, "none".into()),
        (open("enabled")?, "0".into()),
        (open("exit_path")?, "iret".into()),
        (open("count_exits")?, "1".into()),
        (open("calls")?, "1".into()),
        (open("latency")?, "1".into()),
    ];
    let readable = ["members", "calls", "latency"].map(|file| fs::File::open(group.path(file)));
    let child = Child::run(|| {
        ensure!(become_nobody());
        for (file, text) in &files {
            let args = [
                file.as_raw_fd() as u64,
                text.as_ptr() as u64,
                text.len() as u64,
            ];
            let ret = syscall(libc::SYS_write, [args[0], args[1], args[2], 0, 0, 0]);
            ensure!(ret == EPERM, "{text}: {ret}");
        }
        // Itself, whom it may trace.
        let own = format!("process {}", std::process::id());
        let args = [
            files[0].0.as_raw_fd() as u64,
            own.as_ptr() as u64,
            own.len() as u64,
        ];
        let ret = syscall(libc::SYS_write, [args[0], args[1], args[2], 0, 0, 0]);
        ensure!(ret == EPERM, "{own}: {ret}");
        for file in &readable {
            let file = file.as_ref().ok().context("it cannot be opened")?;
            let read = io::Read::read(&mut &*file, &mut [0]);
            ensure!(errno(read.map_err(Into::into))? == libc::EPERM);
        }
        ensure!(errno(Group::new("mine").map(drop))? == libc::EACCES);
        ensure!(errno(group.join(me))? == libc::EACCES);
        Ok(())
    })?;
    child.wait_success()?;
    // Who may administer the system may not yet have others do what they must not.
    let child = Child::run(|| {
        ensure!(keep_only_sys_admin());
        ensure!(errno(group.join(me))? == libc::EPERM);
        // Itself, it may.
        group.join(std::process::id() as i32)?;
        group.leave(std::process::id() as i32)
    })?;
    child.wait_success()?;
    ensure!(group.members()?.is_empty());
    ensure!(group.get("enabled")? == "1" && group.get("follow")? == "all");
    ensure!(group.get("calls")? == "off" && group.get("latency")? == "off");
    group.end()
}
