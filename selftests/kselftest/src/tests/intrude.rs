// SPDX-License-Identifier: GPL-2.0

//! No way in: who has no privileges changes nothing, not even by files that root has opened.

use super::{bad_input::become_nobody, cgroups::Cgroup, policy::under};
use crate::{
    process::{self, getppid, gettid, make, syscall, unshare, Child},
    slowpath::{attach, detach, state, tasks, write, Group, CONFIGFS, POLICIES, SYSFS},
};
use anyhow::{bail, ensure, Context, Result};
use std::{
    fs::{self, File, OpenOptions},
    io,
    os::{
        fd::{AsRawFd, FromRawFd, RawFd},
        unix::{fs::PermissionsExt, net::UnixDatagram, process::CommandExt},
    },
    process::{Command, Stdio},
    ptr::null_mut,
    sync::atomic::{AtomicU32, Ordering::SeqCst},
};

super::tests! {
    [] =>
        intrude_by_write
        intrude_by_splice
        intrude_by_sendfile
        intrude_by_aio
        intrude_by_io_uring
        intrude_by_io_uring_worker
        intrude_by_passed_descriptor
        intrude_by_taken_descriptor
        intrude_by_reopened_descriptor
        intrude_by_output_of_program
        intrude_as_root_of_user_namespace
        intrude_by_changed_mode
        intrude_by_mounted_sysfs
        intrude_by_bind_mount_and_chroot
        intrude_by_set_uid_program
        root_of_pid_namespace_is_no_intruder;
}

const EPERM: i64 = -(libc::EPERM as i64);
const EINVAL: i64 = -(libc::EINVAL as i64);

fn nobody() -> Result<()> {
    ensure!(become_nobody());
    // Its files in /proc are its own, as after an exec.
    let dumpable = [libc::PR_SET_DUMPABLE as u64, 1, 0, 0, 0, 0];
    ensure!(syscall(libc::SYS_prctl, dumpable) == 0);
    Ok(())
}

/// Runs `f` in a child, after which everything must be as it was.
fn changes_nothing(f: impl FnOnce() -> Result<()>) -> Result<()> {
    let before = state()?;
    Child::run(f)?.wait_success()?;
    let after = state()?;
    ensure!(before == after, "{before}has become\n{after}");
    Ok(())
}

/// A file, and what would change something.
struct Knob {
    path: String,
    text: &'static str,
}

/// Those that matter, while this task is attached; the last ones let it go.
fn knobs() -> Vec<Knob> {
    let task = format!("{SYSFS}/tasks/{}", gettid());
    let policy = format!("{POLICIES}/test");
    [
        (format!("{policy}/rules"), "getppid log"),
        (format!("{policy}/mode"), "log"),
        (format!("{task}/exit_path"), "iret"),
        (format!("{task}/count_exits"), "1"),
        (format!("{task}/enabled"), "0"),
        (format!("{task}/policy"), "none"),
        (format!("{SYSFS}/force_all"), "1"),
        (format!("{SYSFS}/enabled"), "0"),
        (format!("{SYSFS}/detach"), "all"),
    ]
    .map(|(path, text)| Knob { path, text })
    .into()
}

/// Those of a group with a member, of one that a task is free to join, and of a cgroup.
fn group_knobs(group: &Group, other: &Group, cgroup: &Cgroup, free: i32) -> Vec<Knob> {
    let join: &'static str = Box::leak(format!("process {free}").into_boxed_str());
    [
        (group.path("policy"), "test"),
        (group.path("follow"), "none"),
        (group.path("exit_path"), "iret"),
        (group.path("count_exits"), "1"),
        (group.path("enabled"), "0"),
        (group.path("leave"), "all"),
        (other.path("join"), join),
        (other.path("policy"), "test"),
        (cgroup.0.join("slowpath.group"), "none"),
    ]
    .map(|(path, text)| Knob {
        path: path.display().to_string(),
        text,
    })
    .into()
}

fn open(path: &str) -> io::Result<File> {
    OpenOptions::new().write(true).open(path)
}

/// Writes a text to a file that is open; returns what the kernel does.
type Way = fn(RawFd, &'static str) -> Result<i64>;

/// Files of configfs cannot be spliced to.
fn can_be_spliced_to(knob: &Knob) -> bool {
    !knob.path.starts_with(CONFIGFS)
}

/// Has a process become an intruder and write to what root has opened. To see that the way leads
/// there, root goes it then.
fn no_way_in(intruder: fn() -> Result<()>, way: Way) -> Result<()> {
    no_way_to(intruder, way, |_| true)
}

/// The same for a way that leads to some of the files only.
fn no_way_to(intruder: fn() -> Result<()>, way: Way, leads: fn(&Knob) -> bool) -> Result<()> {
    let _under = under("getppid errno EPERM")?;
    let (group, other) = (Group::new("intruded")?, Group::new("other")?);
    let sleeper = || {
        Child::fork(|| loop {
            process::pause();
        })
    };
    let (member, free) = (sleeper()?, sleeper()?);
    group.join(member.pid)?;
    let cgroup = Cgroup::new("intruded")?;
    cgroup.set("intruded")?;
    let mut files = Vec::new();
    let of_groups = group_knobs(&group, &other, &cgroup, free.pid);
    for knob in of_groups.into_iter().chain(knobs()) {
        files.push((open(&knob.path).context(knob.path.clone())?, knob));
    }
    let go = |want: &dyn Fn(&Knob) -> i64| -> Result<()> {
        for (file, knob) in &files {
            let ret = way(file.as_raw_fd(), knob.text)?;
            let want = if leads(knob) { want(knob) } else { EINVAL };
            ensure!(ret == want, "{}: {ret}", knob.path);
        }
        Ok(())
    };
    changes_nothing(|| {
        intruder()?;
        go(&|_| EPERM)
    })?;
    ensure!(cgroup.get()? == "intruded", "its cgroup has changed");
    go(&|knob| knob.text.len() as i64).context("root")?;
    ensure!(tasks()?.is_empty(), "root has not let it go");
    ensure!(group.members()?.is_empty() && other.members()?.is_empty());
    ensure!(cgroup.get()? == "none");
    drop((cgroup, free, member));
    other.end()?;
    group.end()
}

fn plain(fd: RawFd, text: &'static str) -> Result<i64> {
    let (at, len) = (text.as_ptr() as u64, text.len() as u64);
    Ok(syscall(libc::SYS_write, [fd as u64, at, len, 0, 0, 0]))
}

fn intrude_by_write() -> Result<()> {
    no_way_in(nobody, plain)?;
    crate::slowpath::reset()?;
    no_way_in(nobody, |fd, text| {
        let vector = [text.as_ptr() as u64, text.len() as u64];
        let args = [fd as u64, vector.as_ptr() as u64, 1, 0, 0, 0];
        Ok(syscall(libc::SYS_pwritev, args))
    })
}

fn intrude_by_splice() -> Result<()> {
    let way: Way = |fd, text| {
        let (from, mut to) = process::pipe()?;
        io::Write::write_all(&mut to, text.as_bytes())?;
        let len = text.len() as u64;
        let args = [from.as_raw_fd() as u64, 0, fd as u64, 0, len, 0];
        Ok(syscall(libc::SYS_splice, args))
    };
    no_way_to(nobody, way, can_be_spliced_to)
}

fn intrude_by_sendfile() -> Result<()> {
    let way: Way = |fd, text| {
        let name = c"text".as_ptr() as u64;
        let from = make("memfd_create", libc::SYS_memfd_create, &[name])?;
        // SAFETY: Just opened.
        let mut from = unsafe { File::from_raw_fd(from as RawFd) };
        io::Write::write_all(&mut from, text.as_bytes())?;
        let (mut offset, len) = (0u64, text.len() as u64);
        let at = &raw mut offset as u64;
        let args = [fd as u64, from.as_raw_fd() as u64, at, len, 0, 0];
        Ok(syscall(libc::SYS_sendfile, args))
    };
    no_way_to(nobody, way, can_be_spliced_to)
}

fn intrude_by_aio() -> Result<()> {
    const PWRITE: u64 = 1;

    no_way_in(nobody, |fd, text| {
        let mut context = 0u64;
        let at = &raw mut context as u64;
        make("io_setup", libc::SYS_io_setup, &[1, at])?;
        let (from, len) = (text.as_ptr() as u64, text.len() as u64);
        let request = [0, 0, PWRITE | (fd as u64) << 32, from, len, 0, 0, 0];
        let requests = [request.as_ptr() as u64];
        let at = requests.as_ptr() as u64;
        make("io_submit", libc::SYS_io_submit, &[context, 1, at])?;
        let mut event = [0i64; 4];
        let at = event.as_mut_ptr() as u64;
        make("io_getevents", libc::SYS_io_getevents, &[context, 1, 1, at])?;
        make("io_destroy", libc::SYS_io_destroy, &[context])?;
        Ok(event[2])
    })
}

/// A ring for one operation; returns the result of a write by it.
fn by_ring(fd: RawFd, text: &'static str, flags: u64) -> Result<i64> {
    const WRITE: u64 = 23;
    const ENTRIES_AT: u64 = 0x1000_0000;
    const GET_EVENTS: u64 = 1;

    let mut params = [0u32; 30];
    let at = params.as_mut_ptr() as u64;
    let ring = make("io_uring_setup", libc::SYS_io_uring_setup, &[1, at])?;
    // SAFETY: Just opened.
    let ring = unsafe { File::from_raw_fd(ring as RawFd) };
    let map = |offset: u64| -> Result<*mut u8> {
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        let (shared, fd) = (libc::MAP_SHARED, ring.as_raw_fd());
        // SAFETY: A new mapping.
        let page = unsafe { libc::mmap(null_mut(), 4096, prot, shared, fd, offset as i64) };
        ensure!(page != libc::MAP_FAILED, "mapping the ring");
        Ok(page.cast())
    };
    let (rings, entries) = (map(0)?, map(ENTRIES_AT)?);
    // The offsets of what is used of `struct io_uring_params`.
    let (tail, array, completions) = (params[11], params[16], params[25]);
    let entry = [
        WRITE | flags << 8 | (fd as u64) << 32,
        0,
        text.as_ptr() as u64,
        text.len() as u64,
    ];
    // SAFETY: Both are mapped, and long enough; the kernel reads them at the call.
    unsafe {
        entries.cast::<[u64; 4]>().write(entry);
        rings.add(array as usize).cast::<u32>().write(0);
        let tail = rings.add(tail as usize).cast::<AtomicU32>();
        (*tail).store(1, SeqCst);
    }
    let args = [ring.as_raw_fd() as u64, 1, 1, GET_EVENTS];
    make("io_uring_enter", libc::SYS_io_uring_enter, &args)?;
    // SAFETY: As above, and the kernel has written it.
    let result = unsafe {
        rings
            .add(completions as usize + 8)
            .cast::<i32>()
            .read_volatile()
    };
    Ok(result.into())
}

fn intrude_by_io_uring() -> Result<()> {
    no_way_in(nobody, |fd, text| by_ring(fd, text, 0))
}

/// The write is made by a thread of the kernel, for whoever has asked for it.
fn intrude_by_io_uring_worker() -> Result<()> {
    const ASYNC: u64 = 1 << 4;

    no_way_in(nobody, |fd, text| by_ring(fd, text, ASYNC))
}

/// Room for the header and one descriptor.
type Control = [u64; 3];

fn message<'a>(
    part: &'a mut libc::iovec,
    byte: &'a mut u8,
    control: &'a mut Control,
) -> libc::msghdr {
    part.iov_base = (&raw mut *byte).cast();
    part.iov_len = 1;
    // SAFETY: All-zero is valid.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of::<Control>();
    message
}

fn pass(socket: &UnixDatagram, fd: RawFd) -> Result<()> {
    let header = [
        20,
        libc::SOL_SOCKET as u64 | (libc::SCM_RIGHTS as u64) << 32,
    ];
    let mut control = [header[0], header[1], fd as u64];
    // SAFETY: All-zero is valid.
    let mut part = unsafe { std::mem::zeroed() };
    let mut byte = 0;
    let message = message(&mut part, &mut byte, &mut control);
    // SAFETY: What it points to is valid.
    let ret = unsafe { libc::sendmsg(socket.as_raw_fd(), &message, 0) };
    ensure!(ret == 1, "sendmsg");
    Ok(())
}

fn receive(socket: &UnixDatagram) -> Result<RawFd> {
    let mut control = [0; 3];
    // SAFETY: All-zero is valid.
    let mut part = unsafe { std::mem::zeroed() };
    let mut byte = 0;
    let mut message = message(&mut part, &mut byte, &mut control);
    // SAFETY: What it points to is valid.
    let ret = unsafe { libc::recvmsg(socket.as_raw_fd(), &mut message, 0) };
    ensure!(ret == 1 && message.msg_controllen > 0, "recvmsg");
    Ok(control[2] as RawFd)
}

/// Root opens the files for one who is nobody already.
fn intrude_by_passed_descriptor() -> Result<()> {
    let _under = under("getppid errno EPERM")?;
    let knobs = knobs();
    let (ours, theirs) = UnixDatagram::pair()?;
    let before = state()?;
    let child = Child::run(|| {
        nobody()?;
        for knob in &knobs {
            let ret = plain(receive(&theirs)?, knob.text)?;
            ensure!(ret == EPERM, "{}: {ret}", knob.path);
        }
        Ok(())
    })?;
    for knob in &knobs {
        pass(&ours, open(&knob.path)?.as_raw_fd())?;
    }
    child.wait_success()?;
    ensure!(state()? == before);
    // The way leads there: root receives one, too.
    pass(&ours, open(&knobs[0].path)?.as_raw_fd())?;
    ensure!(plain(receive(&theirs)?, knobs[0].text)? > 0);
    Ok(())
}

/// Out of root's process.
fn intrude_by_taken_descriptor() -> Result<()> {
    let _under = under("getppid errno EPERM")?;
    let file = open(&format!("{SYSFS}/detach"))?;
    let (root, fd) = (std::process::id(), file.as_raw_fd());
    changes_nothing(|| {
        nobody()?;
        let pidfd = make("pidfd_open", libc::SYS_pidfd_open, &[root.into()])? as u64;
        let ret = syscall(libc::SYS_pidfd_getfd, [pidfd, fd as u64, 0, 0, 0, 0]);
        ensure!(ret == EPERM, "pidfd_getfd: {ret}");
        refuses_to_open(&format!("/proc/{root}/fd/{fd}"))
    })
}

fn refuses_to_open(path: &str) -> Result<()> {
    match open(path).err().and_then(|e| e.raw_os_error()) {
        Some(libc::EACCES) => Ok(()),
        other => bail!("{path}: {other:?}"),
    }
}

fn intrude_by_reopened_descriptor() -> Result<()> {
    let _under = under("getppid errno EPERM")?;
    let mut files = Vec::new();
    for knob in knobs() {
        files.push(open(&knob.path)?);
    }
    changes_nothing(|| {
        for file in &files {
            open(&format!("/proc/self/fd/{}", file.as_raw_fd())).context("root")?;
        }
        nobody()?;
        for file in &files {
            refuses_to_open(&format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        }
        Ok(())
    })
}

/// Root's file is the output of a program that nobody runs, or of one that becomes nobody.
fn intrude_by_output_of_program() -> Result<()> {
    let (task, _policy) = under("getppid errno EPERM")?;
    let run = |uid: u32| -> Result<bool> {
        let mut command = Command::new("/bin/sh");
        let output = open(&task.path("enabled").to_string_lossy())?;
        command
            .args(["-c", "printf 0"])
            .stdout(output)
            .stderr(Stdio::null())
            .uid(uid);
        Ok(command.status()?.success())
    };
    let before = state()?;
    ensure!(!run(65534)?, "nobody's program has written");
    ensure!(state()? == before);
    ensure!(
        run(0)? && task.get("enabled")? == "0",
        "nor has root's program"
    );
    Ok(())
}

/// With every capability, but not in the initial user namespace.
fn root_of_user_namespace() -> Result<()> {
    nobody()?;
    unshare(libc::CLONE_NEWUSER)?;
    fs::write("/proc/self/uid_map", "0 65534 1")?;
    ensure!(make("getuid", libc::SYS_getuid, &[])? == 0);
    Ok(())
}

fn intrude_as_root_of_user_namespace() -> Result<()> {
    no_way_in(root_of_user_namespace, plain)
}

/// What a container's root may do whose files are root's own: for others, it opens them.
fn intrude_by_changed_mode() -> Result<()> {
    let _under = under("getppid errno EPERM")?;
    let knobs = knobs();
    let mut modes = Vec::new();
    for knob in &knobs {
        modes.push(fs::metadata(&knob.path)?.permissions());
        fs::set_permissions(&knob.path, PermissionsExt::from_mode(0o666))?;
    }
    let result = changes_nothing(|| {
        nobody()?;
        for knob in &knobs {
            let file = open(&knob.path).context(knob.path.clone())?;
            let ret = plain(file.as_raw_fd(), knob.text)?;
            ensure!(ret == EPERM, "{}: {ret}", knob.path);
        }
        Ok(())
    });
    for (knob, mode) in knobs.iter().zip(modes) {
        fs::set_permissions(&knob.path, mode)?;
    }
    result
}

fn mount(kind: &std::ffi::CStr, at: &str, flags: u64) -> Result<i64> {
    let at = std::ffi::CString::new(at)?;
    let (kind, at) = (kind.as_ptr() as u64, at.as_ptr() as u64);
    Ok(syscall(libc::SYS_mount, [kind, at, kind, flags, 0, 0]))
}

/// As a container's root with root's own files, who may open them, but not write.
fn intrude_by_mounted_sysfs() -> Result<()> {
    let _under = under("getppid errno EPERM")?;
    let at = "/tmp/slowpath-sysfs";
    fs::create_dir_all(at)?;
    let knobs = knobs();
    let result = changes_nothing(|| {
        unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWNET)?;
        fs::write("/proc/self/uid_map", "0 0 1")?;
        ensure!(mount(c"configfs", at, 0)? == EPERM, "it mounts configfs");
        ensure!(mount(c"sysfs", at, 0)? == 0, "it cannot mount sysfs");
        for knob in &knobs {
            let path = knob
                .path
                .replace("/sys/kernel/slowpath", &format!("{at}/kernel/slowpath"));
            let file = open(&path).context(path.clone())?;
            let ret = plain(file.as_raw_fd(), knob.text)?;
            ensure!(ret == EPERM, "{path}: {ret}");
        }
        Ok(())
    });
    fs::remove_dir(at)?;
    result
}

/// The same files under other names.
fn intrude_by_bind_mount_and_chroot() -> Result<()> {
    let _under = under("getppid errno EPERM")?;
    let at = "/tmp/slowpath-bind";
    fs::create_dir_all(at)?;
    let knobs = knobs();
    let result = changes_nothing(|| {
        nobody()?;
        unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS)?;
        fs::write("/proc/self/uid_map", "0 65534 1")?;
        let from = c"/sys/kernel";
        let flags = libc::MS_BIND | libc::MS_REC;
        ensure!(mount(from, at, flags)? == 0, "it cannot mount");
        for knob in &knobs {
            refuses_to_open(&knob.path.replace("/sys/kernel", at))?;
        }
        // Nor can it make a device, by which it could read the kernel's memory.
        let (node, kind) = (c"/tmp/slowpath-node".as_ptr() as u64, libc::S_IFCHR as u64);
        let ret = syscall(libc::SYS_mknod, [node, kind, 0x101, 0, 0, 0]);
        ensure!(ret == EPERM, "it makes a device: {ret}");
        std::os::unix::fs::chroot(at)?;
        for knob in &knobs {
            refuses_to_open(&knob.path.replace("/sys/kernel", ""))?;
        }
        Ok(())
    });
    fs::remove_dir(at)?;
    result
}

/// Who runs a program that becomes root has to open the file for it, and cannot.
fn intrude_by_set_uid_program() -> Result<()> {
    let (task, _policy) = under("getppid errno EPERM")?;
    let program = "/tmp/slowpath-set-uid-shell";
    fs::copy("/bin/sh", program)?;
    fs::set_permissions(program, PermissionsExt::from_mode(0o4755))?;
    let enabled = task.path("enabled");
    // The file is opened by who starts the program.
    let result = changes_nothing(|| {
        nobody()?;
        refuses_to_open(enabled.to_str().context("path")?)
    });
    // The program itself could open it.
    let by_itself = Command::new(program)
        .args(["-p", "-c", &format!("printf 0 >{}", enabled.display())])
        .uid(65534)
        .status()?
        .success();
    fs::remove_file(program)?;
    ensure!(by_itself && task.get("enabled")? == "0");
    result
}

/// With the numbers of its own.
fn root_of_pid_namespace_is_no_intruder() -> Result<()> {
    let child = Child::run(|| {
        unshare(libc::CLONE_NEWPID)?;
        let init = Child::run(|| {
            ensure!(std::process::id() == 1);
            write(format!("{SYSFS}/attach"), "1")?;
            let attached = tasks()?;
            ensure!(attached.len() == 1 && attached != [1], "{attached:?}");
            detach(1)?;
            ensure!(tasks()?.is_empty() && getppid() == 0);
            ensure!(attach(attached[0]).is_err(), "a number of others");
            Ok(())
        })?;
        init.wait_success()
    })?;
    child.wait_success()
}
