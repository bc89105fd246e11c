// SPDX-License-Identifier: GPL-2.0

//! Every kind of bad write: the right error, and nothing changed.

use crate::{
    process::{gettid, pause, syscall, until, Child, Puppet},
    slowpath::{attach, detach, set, state, tasks, write, Group, Policy, POLICIES, SYSFS},
};
use anyhow::{ensure, Context, Result};
use std::{
    fs::{self, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

super::tests! {
    [] =>
        bad_attach_numbers
        bad_attach_no_such_task
        bad_attach_twice
        bad_attach_kernel_thread
        bad_attach_zombie
        bad_detach_numbers
        bad_detach_no_such_task
        bad_detach_not_attached
        bad_switches
        bad_attachment_switches
        bad_attachment_policy
        bad_attachment_exit_path
        bad_attachment_count_exits
        bad_rules
        bad_rules_too_long
        bad_rules_are_explained_in_the_log
        bad_number_of_policies
        bad_mode
        bad_policy_names
        bad_modes_of_files
        bad_unprivileged
        bad_attach_that_a_tracer_must_not
        bad_container_root
        bad_passed_descriptor
        removed_file_held_open;
    [Cpus] =>
        bad_number_of_attachments;
}

const NOT_NUMBERS: &[&str] = &[
    "",
    "\n",
    " ",
    "x",
    "-1",
    "0",
    "+1",
    " 1",
    "1 ",
    "1 2",
    "1\n2",
    "0x1",
    "1.0",
    "2147483648",
    "99999999999999999999",
    "\0",
    "1\0",
    "\u{ff}",
    "ALL",
    "none",
];

/// The write must fail with `errno`, and change nothing.
fn refused(path: impl AsRef<Path>, text: impl AsRef<[u8]>, errno: i32) -> Result<()> {
    let (path, text) = (path.as_ref(), text.as_ref());
    let before = state()?;
    let shown = String::from_utf8_lossy(&text[..text.len().min(40)]);
    if text.is_empty() {
        // A write of nothing does not reach the file: it writes nothing.
        let _ = write(path, text);
    } else {
        let error = write(path, text)
            .err()
            .with_context(|| format!("{shown:?} was taken"))?;
        ensure!(
            error.raw_os_error() == Some(errno),
            "{}: {shown:?}: {error}, not {}",
            path.display(),
            io::Error::from_raw_os_error(errno)
        );
    }
    let after = state()?;
    ensure!(before == after, "{shown:?} changed\n{before}to\n{after}");
    Ok(())
}

fn root(name: &str) -> String {
    format!("{SYSFS}/{name}")
}

fn bad_attach_numbers() -> Result<()> {
    for text in NOT_NUMBERS.iter().chain(&["all"]) {
        refused(root("attach"), text, libc::EINVAL)?;
    }
    refused(root("attach"), "1".repeat(4000), libc::EINVAL)
}

fn bad_attach_no_such_task() -> Result<()> {
    refused(root("attach"), "2147483647", libc::ESRCH)?;
    let gone = Child::fork(|| 0)?;
    let pid = gone.pid;
    gone.wait()?;
    refused(root("attach"), pid.to_string(), libc::ESRCH)
}

fn bad_attach_twice() -> Result<()> {
    attach(gettid())?;
    refused(root("attach"), gettid().to_string(), libc::EBUSY)?;
    detach(gettid())?;
    // Nor one that is in a group.
    Group::of(gettid())?;
    refused(root("attach"), gettid().to_string(), libc::EBUSY)?;
    let puppet = Puppet::new(|_| 0)?;
    refused(root("attach"), puppet.tid().to_string(), libc::EBUSY)
}

fn bad_attach_kernel_thread() -> Result<()> {
    refused(root("attach"), "2", libc::EPERM)
}

fn bad_attach_zombie() -> Result<()> {
    let child = Child::fork(|| 0)?;
    child.wait_zombie()?;
    refused(root("attach"), child.pid.to_string(), libc::ESRCH)
}

fn bad_detach_numbers() -> Result<()> {
    attach(gettid())?;
    for text in NOT_NUMBERS {
        refused(root("detach"), text, libc::EINVAL)?;
    }
    Ok(())
}

fn bad_detach_no_such_task() -> Result<()> {
    attach(gettid())?;
    refused(root("detach"), "2147483647", libc::ESRCH)
}

fn bad_detach_not_attached() -> Result<()> {
    refused(root("detach"), gettid().to_string(), libc::ESRCH)?;
    attach(gettid())?;
    set("detach", gettid().to_string())?;
    refused(root("detach"), gettid().to_string(), libc::ESRCH)
}

const NOT_SWITCHES: &[&str] = &[
    "", "\n", "2", "-1", "01", "on", "yes", "Y", " 1", "1 ", "1\n1", "1\0", "\u{ff}",
];

fn bad_switches() -> Result<()> {
    for text in NOT_SWITCHES {
        refused(root("enabled"), text, libc::EINVAL)?;
        refused(root("force_all"), text, libc::EINVAL)?;
    }
    Ok(())
}

fn bad_attachment_switches() -> Result<()> {
    let task = attach(gettid())?;
    for text in NOT_SWITCHES {
        refused(task.path("enabled"), text, libc::EINVAL)?;
    }
    Ok(())
}

fn bad_attachment_policy() -> Result<()> {
    let task = attach(gettid())?;
    let _policy = Policy::new("test", "getppid errno EPERM")?;
    task.set("policy", "test")?;
    refused(task.path("policy"), "\n", libc::EINVAL)?;
    for name in [
        "tes",
        "testt",
        "test ",
        " test",
        "TEST",
        "test\n\n",
        "../x",
        "test/rules",
        "\u{e4}",
    ] {
        refused(task.path("policy"), name, libc::ENOENT)?;
    }
    refused(task.path("policy"), b"\xff\xfe", libc::ENOENT)?;
    refused(task.path("policy"), "x".repeat(4000), libc::ENOENT)?;
    refused(task.path("policy"), "test\0", libc::ENOENT)
}

fn bad_attachment_exit_path() -> Result<()> {
    let task = attach(gettid())?;
    task.set("exit_path", "iret")?;
    for text in ["", "\n", "IRET", "sysret", "auto iret", " auto", "1"] {
        refused(task.path("exit_path"), text, libc::EINVAL)?;
    }
    Ok(())
}

fn bad_attachment_count_exits() -> Result<()> {
    let task = attach(gettid())?;
    task.set("count_exits", "1")?;
    for text in ["", "\n", "2", "on", "1 ", " 1", "1\n1", "auto"] {
        refused(task.path("count_exits"), text, libc::EINVAL)?;
    }
    Ok(())
}

fn bad_rules() -> Result<()> {
    let policy = Policy::new("test", "getppid errno EPERM\ndefault log")?;
    for text in [
        "getppid",
        "getppid frobnicate",
        "getppid errno",
        "getppid errno EFOO",
        "getppid errno 0",
        "getppid errno 4096",
        "getppid errno 512",
        "getppid return",
        "getppid return x",
        "getppid allow allow",
        "nosuchcall allow",
        "560 allow",
        "getppid arg0 allow",
        "getppid arg6 == 1 allow",
        "getppid arg0 & 1 == 2 allow",
        "getppid arch arm allow",
        "socketcall arch x86_64 allow",
        "getppid delay 5",
        "getppid signal 65",
        "getppid trap 65536",
        "getppid redirect nosuchcall",
        "getppid set arg6 1",
        "getppid after 5",
        "getppid errno EPERM when 0",
        "default arch i386 log\ndefault arch i386 log",
        "-1 allow",
        "restart_syscall errno EPERM",
        "default",
        "default log\ndefault log",
        "getppid allow\nfoo",
        "getppid allow\0",
        "\u{fc} allow",
    ] {
        refused(policy.path("rules"), text, libc::EINVAL)?;
    }
    refused(policy.path("rules"), b"getppid \xff\xff", libc::EINVAL)
}

fn bad_rules_too_long() -> Result<()> {
    let policy = Policy::new("test", "getppid errno EPERM")?;
    let limits = [
        ("a text", "#\n".repeat(32 * 1024), "#\n"),
        ("rules", "1 log\n".repeat(2048), "1 log"),
        ("a line", format!("#{}", "x".repeat(255)), "x"),
        ("counters", "1 log when 1\n".repeat(255), "1 log when 1"),
    ];
    for (what, most, more) in limits {
        refused(policy.path("rules"), format!("{most}{more}"), libc::E2BIG)?;
        policy.set("rules", &most).context(what)?;
        policy.get("hits")?;
        policy.set("rules", "getppid errno EPERM")?;
    }
    Ok(())
}

/// Each once, and not more than a few in some seconds.
fn bad_rules_are_explained_in_the_log() -> Result<()> {
    let policy = Policy::new("test", "")?;
    let mut log = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/kmsg")?;
    log.seek(SeekFrom::End(0))?;
    let mut messages = || {
        let mut messages = Vec::new();
        let mut record = [0; 8192];
        while let Ok(len) = log.read(&mut record) {
            let text = String::from_utf8_lossy(&record[..len]).into_owned();
            if text.contains("policy test: ") {
                messages.push(text.trim_end().to_string());
            }
        }
        messages
    };
    let rules = "# why\ngetppid errno EPERM\ngetpid   frobnicate";
    let mut seen = Vec::new();
    // What was said before this test may have used up what may be said.
    until("explained", || {
        refused(policy.path("rules"), rules, libc::EINVAL)?;
        seen = messages();
        Ok(!seen.is_empty())
    })?;
    ensure!(seen.len() == 1, "{seen:?}");
    let reason = "slowpath: policy test: line 3, column 10: not a verdict";
    ensure!(seen[0].ends_with(reason), "{seen:?}");
    for _ in 0..200 {
        ensure!(policy.set("rules", rules).is_err());
    }
    let more = messages().len();
    ensure!(more < 100, "{more} messages");
    Ok(())
}

fn bad_number_of_policies() -> Result<()> {
    let path = |i| format!("{POLICIES}/many-{i}");
    for i in 0..256 {
        fs::create_dir(path(i))?;
    }
    let error = fs::create_dir(path(256)).err();
    ensure!(error.and_then(|e| e.raw_os_error()) == Some(libc::E2BIG));
    // One that goes makes room.
    fs::remove_dir(path(7))?;
    fs::create_dir(path(256))?;
    Ok(())
}

fn bad_number_of_attachments() -> Result<()> {
    const MOST: usize = 4096;

    // Threads with hardly a stack, which wait for the process to end.
    let mut puppet = Puppet::new(|_| {
        for _ in 0..=MOST {
            let idle = || loop {
                pause();
            };
            let thread = std::thread::Builder::new().stack_size(16 * 1024);
            if thread.spawn(idle).is_err() {
                return -1;
            }
        }
        0
    })?;
    ensure!(puppet.call(0)? == 0, "threads");
    let mut tids = Vec::new();
    for task in fs::read_dir(format!("/proc/{}/task", puppet.tid()))? {
        tids.push(task?.file_name().to_string_lossy().parse::<i32>()?);
    }
    for tid in &tids[..MOST] {
        attach(*tid)?;
    }
    let last = tids[MOST].to_string();
    let before = tasks()?;
    let error = set("attach", &last).err().context("one too many")?;
    ensure!(error.raw_os_error() == Some(libc::E2BIG), "{error}");
    ensure!(tasks()? == before, "other tasks are attached");
    detach(tids[0])?;
    // What was detached is let go when no hook can use it any more.
    until("room", || Ok(set("attach", &last).is_ok()))
}

fn bad_mode() -> Result<()> {
    let policy = Policy::new("test", "")?;
    for text in ["", "\n", "ENFORCE", "enforce log", " log", "1"] {
        refused(policy.path("mode"), text, libc::EINVAL)?;
    }
    Ok(())
}

fn bad_policy_names() -> Result<()> {
    let _policy = Policy::new("test", "")?;
    let before = state()?;
    for (name, errno) in [
        ("none", libc::EINVAL),
        ("a b", libc::EINVAL),
        ("a\nb", libc::EINVAL),
        ("\u{fc}", libc::EINVAL),
        ("test", libc::EEXIST),
        ("test/sub", libc::EPERM),
    ] {
        let error = fs::create_dir(format!("{POLICIES}/{name}"))
            .err()
            .context("was made")?;
        ensure!(error.raw_os_error() == Some(errno), "{name:?}: {error}");
    }
    ensure!(state()? == before);
    Ok(())
}

fn bad_modes_of_files() -> Result<()> {
    let task = attach(gettid())?;
    let group = Group::new("test")?;
    let mode = |path: &Path| -> Result<u32> {
        Ok(std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path)?.permissions()) & 0o777)
    };
    for (path, want) in [
        (root("enabled").into(), 0o600),
        (root("force_all").into(), 0o600),
        (root("attach").into(), 0o200),
        (root("detach").into(), 0o200),
        (root("stats").into(), 0o400),
        (task.path("enabled"), 0o600),
        (task.path("policy"), 0o600),
        (task.path("exit_path"), 0o600),
        (task.path("count_exits"), 0o600),
        (task.path("stats"), 0o400),
        (group.path("policy"), 0o660),
        (group.path("join"), 0o220),
        (group.path("leave"), 0o220),
    ] {
        ensure!(
            mode(&path)? == want,
            "{}: {:o}",
            path.display(),
            mode(&path)?
        );
    }
    Ok(())
}

/// Drops every privilege of this process.
pub(super) fn become_nobody() -> bool {
    let nobody = [65534, 0, 0, 0, 0, 0];
    syscall(libc::SYS_setgroups, [0; 6]) == 0
        && syscall(libc::SYS_setgid, nobody) == 0
        && syscall(libc::SYS_setuid, nobody) == 0
}

fn errno<T>(result: io::Result<T>) -> i32 {
    result.err().and_then(|e| e.raw_os_error()).unwrap_or(0)
}

/// Runs `f` in a child, which must exit with 0 and leave everything as it was.
fn changes_nothing(f: impl FnOnce() -> i32) -> Result<()> {
    let before = state()?;
    let status = Child::fork(f)?.wait()?;
    ensure!(status == 0, "exit status {status}");
    ensure!(state()? == before);
    Ok(())
}

fn bad_unprivileged() -> Result<()> {
    let policy = Policy::new("test", "")?;
    let task = attach(gettid())?;
    let paths = [
        root("attach").into(),
        root("detach").into(),
        root("enabled").into(),
        root("force_all").into(),
        task.path("enabled"),
        task.path("policy"),
        policy.path("rules"),
        policy.path("mode"),
    ];
    changes_nothing(|| {
        if !become_nobody() {
            return 1;
        }
        for path in &paths {
            if errno(write(path, "1")) != libc::EACCES {
                return 2;
            }
        }
        if errno(fs::read(root("stats"))) != libc::EACCES {
            return 3;
        }
        if errno(fs::create_dir(format!("{POLICIES}/mine"))) != libc::EACCES {
            return 4;
        }
        0
    })
}

/// Gives up all capabilities but that to administer the system.
pub(super) fn keep_only_sys_admin() -> bool {
    const CAP_SYS_ADMIN: u32 = 1 << 21;
    const VERSION_3: u32 = 0x2008_0522;

    let header = [VERSION_3, 0];
    // The lower halves of the effective, permitted and inheritable sets, then the upper ones.
    let sets = [CAP_SYS_ADMIN, CAP_SYS_ADMIN, 0, 0, 0, 0];
    let args = [header.as_ptr() as u64, sets.as_ptr() as u64, 0, 0, 0, 0];
    syscall(libc::SYS_capset, args) == 0
}

/// Who may administer the system may not yet have its tasks do what they must not.
fn bad_attach_that_a_tracer_must_not() -> Result<()> {
    let parent = gettid();
    changes_nothing(|| {
        if !keep_only_sys_admin() {
            return 1;
        }
        if errno(set("attach", parent.to_string())) != libc::EPERM {
            return 2;
        }
        // Itself, it may.
        if errno(set("attach", gettid().to_string())) != 0 {
            return 3;
        }
        errno(set("detach", gettid().to_string()))
    })
}

/// Root in a user namespace of its own, with every capability there, and root's own files.
fn bad_container_root() -> Result<()> {
    let policy = Policy::new("test", "")?;
    let task = attach(gettid())?;
    let paths = [
        root("attach").into(),
        root("detach").into(),
        task.path("enabled"),
        policy.path("rules"),
    ];
    changes_nothing(|| {
        if syscall(
            libc::SYS_unshare,
            [libc::CLONE_NEWUSER as u64, 0, 0, 0, 0, 0],
        ) != 0
        {
            return 1;
        }
        if fs::write("/proc/self/uid_map", "0 0 1\n").is_err() {
            return 2;
        }
        for path in &paths {
            if errno(write(path, "1")) != libc::EPERM {
                return 3;
            }
        }
        if errno(fs::create_dir(format!("{POLICIES}/mine"))) != libc::EPERM {
            return 4;
        }
        0
    })
}

fn bad_passed_descriptor() -> Result<()> {
    let task = attach(gettid())?;
    let mut enabled = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(task.path("enabled"))?;
    let mut detach = fs::OpenOptions::new().write(true).open(root("detach"))?;
    changes_nothing(|| {
        if !become_nobody() {
            return 1;
        }
        if errno(enabled.write(b"0")) != libc::EPERM {
            return 2;
        }
        if errno(detach.write(b"all")) != libc::EPERM {
            return 3;
        }
        if errno(enabled.rewind()) != 0 || errno(enabled.read(&mut [0; 10])) != libc::EPERM {
            return 4;
        }
        0
    })
}

fn removed_file_held_open() -> Result<()> {
    let puppet = Puppet::new(|_| 0)?;
    let task = attach(puppet.tid())?;
    let mut enabled = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(task.path("enabled"))?;
    let mut entries = fs::File::open(task.path("stats"))?;
    let mut text = String::new();
    entries.read_to_string(&mut text)?;
    set("detach", puppet.tid().to_string())?;
    ensure!(errno(enabled.write(b"0")) == libc::ENODEV);
    ensure!(errno(enabled.read(&mut [0; 10])) == libc::ENODEV);
    ensure!(errno(FileExt::read_at(&entries, &mut [0; 10], 0)) == libc::ENODEV);
    // And they do not act on what comes in its place.
    let task = attach(puppet.tid())?;
    ensure!(errno(enabled.write(b"0")) == libc::ENODEV);
    ensure!(task.get("enabled")? == "1");
    Ok(())
}
