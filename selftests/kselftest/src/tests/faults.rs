// SPDX-License-Identifier: GPL-2.0

//! Each allocation, and each copy from and to user space, fails once: the errno says so, and what was
//! half done is undone.

use super::{cgroups::Cgroup, policy::under, samples::Sample};
use crate::{
    faults::Faults,
    process::{self, getppid, gettid, reap, syscall, Child, Puppet},
    slowpath::{
        attach, detach, insmod, is_loaded, load, module, read, rmmod, set, state, tasks,
        until_none_attached, write, Group, Policy, CONFIGFS, GROUPS, POLICIES, SYSFS,
    },
};
use anyhow::{bail, ensure, Context, Result};
use std::{
    ffi::CString,
    fs, io,
    path::{Path, PathBuf},
};

super::tests! {
    [] =>
        fault_in_attach
        fault_in_detach
        fault_in_switches
        fault_in_attachment_knobs
        fault_in_mkdir
        fault_in_mkdir_of_group
        fault_in_join
        fault_in_leave
        fault_in_group_knobs
        fault_in_cgroup
        fault_in_rules
        fault_in_mode
        fault_in_reads
        fault_in_fork
        fault_in_exec
        fault_in_load
        fault_in_load_of_sample;
    [FastPath] =>
        fault_in_verdicts;
}

const EPERM: i64 = -(libc::EPERM as i64);
const ENOMEM: i64 = -(libc::ENOMEM as i64);

/// Whether it was done; or else why, which must be one of the ways in which a fault shows.
fn done<T>(result: io::Result<T>) -> Result<bool> {
    match result {
        Ok(_) => Ok(true),
        Err(e)
            if [libc::ENOMEM, libc::EFAULT]
                .map(Some)
                .contains(&e.raw_os_error()) =>
        {
            Ok(false)
        }
        Err(e) => Err(e).context("not as a fault shows"),
    }
}

/// Writes with faults, after `prepare`; each write that fails changes nothing, and each that does not
/// does what it does without. Ends with one that does not fail.
fn write_with_faults(
    path: impl AsRef<Path>,
    text: &str,
    mut prepare: impl FnMut() -> Result<()>,
) -> Result<()> {
    let path = path.as_ref();
    let faults = Faults::new()?;
    prepare()?;
    write(path, text)?;
    // Some cannot be read: `prepare` looks what they have done.
    let wanted = read(path).ok();
    prepare()?;
    let before = state()?;
    let mut last = false;
    let check = |result| {
        last = done(result)?;
        if last {
            let now = read(path).ok();
            ensure!(now == wanted, "it is {now:?}, not {wanted:?}");
            prepare()?;
        }
        let now = state()?;
        ensure!(now == before, "it changed\n{before}to\n{now}");
        Ok(())
    };
    let number = faults
        .each(|| write(path, text), check)
        .with_context(|| format!("{}: {text:?}", path.display()))?;
    ensure!(last && number > 1, "{number} faults; without one: {last}");
    Ok(())
}

fn root(name: &str) -> PathBuf {
    format!("{SYSFS}/{name}").into()
}

fn fault_in_attach() -> Result<()> {
    let mut puppet = Puppet::new(|_| getppid())?;
    puppet.until_idle()?;
    let tid = puppet.tid();
    let mut times = 0;
    write_with_faults(root("attach"), &tid.to_string(), || {
        // Prepared anew only after it was attached.
        if times > 0 {
            ensure!(tasks()? == [tid], "{:?}", tasks()?);
            detach(tid)?;
        }
        times += 1;
        Ok(())
    })?;
    ensure!(puppet.call(0)? == i64::from(gettid()));
    Ok(())
}

fn fault_in_detach() -> Result<()> {
    let puppet = Puppet::new(|_| getppid())?;
    let tid = puppet.tid();
    let _policy = Policy::new("test", "getppid errno EPERM")?;
    let prepare = || {
        ensure!(tasks()?.is_empty(), "{:?}", tasks()?);
        attach(tid)?.set("policy", "test")
    };
    write_with_faults(root("detach"), &tid.to_string(), prepare)?;
    detach(tid)?;
    write_with_faults(root("detach"), "all", prepare)?;
    detach(tid)
}

fn fault_in_switches() -> Result<()> {
    attach(gettid())?;
    for (name, from, to) in [("enabled", "1", "0"), ("force_all", "0", "1")] {
        write_with_faults(root(name), to, || Ok(set(name, from)?))?;
        set(name, from)?;
    }
    Ok(())
}

fn fault_in_attachment_knobs() -> Result<()> {
    let puppet = Puppet::new(|_| getppid())?;
    let task = attach(puppet.tid())?;
    let _policy = Policy::new("test", "getppid errno EPERM")?;
    for (name, from, to) in [
        ("enabled", "1", "0"),
        ("exit_path", "auto", "iret"),
        ("count_exits", "0", "1"),
        ("policy", "none", "test"),
        ("policy", "test", "none"),
    ] {
        write_with_faults(task.path(name), to, || task.set(name, from))?;
    }
    task.set("policy", "none")
}

/// Makes a directory, in which a file is to say this, and removes it.
fn mkdir_with_faults(path: &str, file: &str, says: &str) -> Result<()> {
    let faults = Faults::new()?;
    let before = state()?;
    let mut last = false;
    let number = faults.each(
        || fs::create_dir(path),
        |result| {
            last = done(result)?;
            if last {
                ensure!(read(format!("{path}/{file}"))? == says);
                fs::remove_dir(path)?;
            }
            let now = state()?;
            ensure!(now == before, "it changed\n{before}to\n{now}");
            Ok(())
        },
    )?;
    ensure!(last && number > 1, "{number} faults; without one: {last}");
    Ok(())
}

fn fault_in_mkdir() -> Result<()> {
    mkdir_with_faults(&format!("{POLICIES}/test"), "rules", "default allow")
}

fn fault_in_mkdir_of_group() -> Result<()> {
    mkdir_with_faults(&format!("{GROUPS}/test"), "policy", "none")
}

/// A process of a few threads.
fn of_threads() -> Result<Puppet> {
    let mut puppet = Puppet::new(|_| {
        std::thread::spawn(|| loop {
            process::pause();
        });
        0
    })?;
    for _ in 0..3 {
        puppet.call(0)?;
    }
    Ok(puppet)
}

/// All threads join, or none.
fn fault_in_join() -> Result<()> {
    let puppet = of_threads()?;
    let group = Group::new("test")?;
    let join = format!("process {}", puppet.tid());
    write_with_faults(group.path("join"), &join, || {
        let members = group.members()?.len();
        ensure!([0, 4].contains(&members), "{members} members");
        group.set("leave", "all")
    })?;
    group.join(puppet.tid())?;
    group.end()
}

fn fault_in_leave() -> Result<()> {
    let puppet = of_threads()?;
    let group = Group::new("test")?;
    group.join(puppet.tid())?;
    for leave in ["all".to_string(), format!("process {}", puppet.tid())] {
        write_with_faults(group.path("leave"), &leave, || {
            let members = group.members()?.len();
            ensure!([0, 4].contains(&members), "{members} members");
            group.join(puppet.tid())
        })?;
    }
    group.end()
}

fn fault_in_group_knobs() -> Result<()> {
    let puppet = of_threads()?;
    let _policy = Policy::new("test", "getppid errno EPERM")?;
    let group = Group::new("test")?;
    group.join(puppet.tid())?;
    for (name, from, to) in [
        ("enabled", "1", "0"),
        ("follow", "all", "threads"),
        ("exit_path", "auto", "iret"),
        ("count_exits", "0", "1"),
        ("policy", "none", "test"),
        ("policy", "test", "none"),
        ("calls", "0", "1"),
        ("latency", "0", "1"),
        ("calls", "1", "0"),
    ] {
        write_with_faults(group.path(name), to, || group.set(name, from))?;
    }
    group.end()
}

/// All tasks of the cgroup are in the group, or none.
fn fault_in_cgroup() -> Result<()> {
    let puppet = of_threads()?;
    let group = Group::new("test")?;
    let cgroup = Cgroup::new("faults")?;
    cgroup.take(puppet.tid())?;
    let file = cgroup.0.join("slowpath.group");
    for (from, to) in [("none", "test"), ("test", "none")] {
        write_with_faults(&file, to, || {
            let members = if cgroup.get()? == "test" { 4 } else { 0 };
            ensure!(group.members()?.len() == members);
            Ok(cgroup.set(from)?)
        })?;
    }
    cgroup.set("test")?;
    // By moving, it is in both, or in neither.
    let procs = cgroup.0.join("cgroup.procs");
    let root = Cgroup::root()?.join("cgroup.procs");
    let faults = Faults::new()?;
    let pid = puppet.tid().to_string();
    for (file, to_inside) in [(&root, false), (&procs, true)] {
        let mut last = false;
        faults.each(
            || write(file, &pid),
            |result| {
                last = done(result)?;
                let inside = read(&procs)?.lines().any(|line| line == pid);
                let members = if inside { 4 } else { 0 };
                ensure!(group.members()?.len() == members, "inside: {inside}");
                ensure!(!last || inside == to_inside);
                Ok(())
            },
        )?;
        ensure!(last);
    }
    drop(cgroup);
    group.end()
}

/// The rules that were in force stay so until the new ones are, and none is without.
fn fault_in_rules() -> Result<()> {
    let (_task, policy) = under("getppid errno EPERM")?;
    let rules = "getppid return 3\nopenat arch x86_64 errno ENOENT when 3+2\n\
                 kill arg1 == 9 log\nnanosleep delay 20ms\ndefault arch i386 errno EPERM";
    write_with_faults(policy.path("rules"), rules, || {
        policy.set("rules", "getppid errno EPERM")?;
        ensure!(getppid() == EPERM, "{}", getppid());
        Ok(())
    })?;
    ensure!(getppid() == EPERM, "{}", getppid());
    Ok(())
}

fn fault_in_mode() -> Result<()> {
    let (_task, policy) = under("getppid errno EPERM")?;
    write_with_faults(policy.path("mode"), "log", || policy.set("mode", "enforce"))
}

fn fault_in_reads() -> Result<()> {
    let (task, policy) = under("getppid errno EPERM\nopenat log when 2+2")?;
    let faults = Faults::new()?;
    let group = Group::new("test-reads")?;
    for path in [
        group.path("members"),
        group.path("policy"),
        root("enabled"),
        root("fastpath"),
        root("stats"),
        task.path("stats"),
        task.path("policy"),
        policy.path("rules"),
        policy.path("hits"),
    ] {
        let whole = fs::read_to_string(&path)?;
        let changes = path.ends_with("hits") || path.ends_with("stats");
        let what = path.display();
        let read = || -> io::Result<Vec<u8>> {
            use io::Read;
            let mut buffer = vec![0; 1 << 17];
            let len = fs::File::open(&path)?.read(&mut buffer)?;
            buffer.truncate(len);
            Ok(buffer)
        };
        let mut last = false;
        let check = |result: io::Result<Vec<u8>>| {
            let text = result.as_ref().map_or(vec![], |text| text.clone());
            last = done(result)?;
            let same = changes || text == whole.as_bytes();
            ensure!(same || !last, "{:?}", String::from_utf8_lossy(&text));
            Ok(())
        };
        let number = faults.each(read, check).with_context(|| what.to_string())?;
        ensure!(last && number > 1, "{what}: {number} faults; {last}");
    }
    Ok(())
}

/// A call that a policy changes is changed, or not made. The memory for that is all that is needed.
fn fault_in_verdicts() -> Result<()> {
    let ppid = i64::from(std::os::unix::process::parent_id());
    let faults = Faults::new()?;
    let mut number = 0;
    for (rule, wanted) in [
        ("errno EPERM", EPERM),
        ("return 3", 3),
        ("delay 1ms", ppid),
        ("set arg0 0x1234", ppid),
        ("redirect gettid", gettid().into()),
        ("after return 9", 9),
        ("log", ppid),
        ("signal SIGWINCH", ppid),
        ("signal SIGWINCH errno EPERM after delay 1ms", EPERM),
        ("delay 1ms set arg0 | 3 after return 9", 9),
        ("after poke arg0 00 after return 9", 9),
    ] {
        let (_task, _policy) = under(&format!("getppid {rule}"))?;
        let mut last = 0;
        number += faults.each(getppid, |result| {
            last = result;
            ensure!([wanted, ENOMEM].contains(&result), "{rule}: {result}");
            Ok(())
        })?;
        ensure!(last == wanted, "{rule}: {last}");
        detach(gettid())?;
    }
    ensure!(number > 2, "only {number} faults");
    Ok(())
}

/// A child is judged as its parent is, or not made.
fn fault_in_fork() -> Result<()> {
    let policy = Policy::new("test", "getppid errno EPERM")?;
    let group = Group::of(gettid())?;
    group.set("policy", policy.name)?;
    let faults = Faults::new()?;
    let fork = || {
        let pid = syscall(libc::SYS_fork, [0; 6]);
        if pid == 0 {
            process::exit(if getppid() == EPERM { 7 } else { 8 });
        }
        pid
    };
    let mut last = 0;
    let forks = faults.each(fork, |pid| {
        last = pid;
        if pid < 0 {
            ensure!(pid == ENOMEM, "{pid}");
        } else {
            let status = reap(pid as i32)?;
            ensure!(status == 7, "the child was not judged: {status}");
        }
        ensure!(group.members()? == [gettid()], "members");
        Ok(())
    })?;
    ensure!(last > 0 && forks > 10, "{forks} faults, then {last}");
    group.end()
}

/// A program that exits with 7 if its `getppid` was refused, or else with 8.
fn tiny_program() -> Vec<u8> {
    #[rustfmt::skip]
    let code = [
        0xb8, 110, 0, 0, 0,             // mov $__NR_getppid, %eax
        0x0f, 0x05,                     // syscall
        0x31, 0xff,                     // xor %edi, %edi
        0x83, 0xf8, 0xff,               // cmp $-EPERM, %eax
        0x40, 0x0f, 0x95, 0xc7,         // setne %dil
        0x83, 0xc7, 0x07,               // add $7, %edi
        0xb8, 231, 0, 0, 0,             // mov $__NR_exit_group, %eax
        0x0f, 0x05,                     // syscall
    ];
    program_of(&code)
}

/// An executable file of this code.
pub(super) fn program_of(code: &[u8]) -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;

    let size = HEADERS + code.len() as u64;
    let mut program = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0".to_vec();
    // The entry, where the program headers are, where section headers would be, and sizes.
    for word in [BASE + HEADERS, 64, 0] {
        program.extend(word.to_ne_bytes());
    }
    program.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 64, 0, 0, 0, 0, 0]);
    // One segment, to be read and executed.
    program.extend([1, 0, 0, 0, 5, 0, 0, 0]);
    for word in [0, BASE, BASE, size, size, 4096] {
        program.extend(u64::to_ne_bytes(word));
    }
    program.extend(code);
    program
}

/// A program is executed and judged, or the old one goes on and is, or the task is killed.
fn fault_in_exec() -> Result<()> {
    let program = Copy::new("program", &tiny_program())?;
    fs::set_permissions(
        &program.0,
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )?;
    let path = CString::new(program.0.as_os_str().as_encoded_bytes())?;
    let argv = [path.as_ptr(), std::ptr::null()];
    let args = [path.as_ptr() as u64, argv.as_ptr() as u64, 0, 0, 0, 0];
    let _policy = Policy::new("test", "getppid errno EPERM")?;
    let _faults = Faults::new()?;
    let mut failed = 0;
    let mut last = 0;
    for nth in 1..=100 {
        let child = Child::fork(|| {
            let task = attach(gettid()).and_then(|task| task.set("policy", "test"));
            if task.is_err() || Faults::arm(nth).is_err() {
                return 1;
            }
            let result = syscall(libc::SYS_execve, args);
            match (result, getppid() == EPERM) {
                (_, false) => 2,
                (0.., true) => 4,
                // Any errno: a page for an argument that cannot be had is one argument too many.
                (_, true) => 3,
            }
        })?;
        last = child.wait()?;
        let known = [
            7,
            3,
            256 + libc::SIGKILL,
            256 + libc::SIGSEGV,
            256 + libc::SIGBUS,
        ];
        ensure!(known.contains(&last), "fault {nth}: status {last}");
        failed += u32::from(last != 7);
        until_none_attached().with_context(|| format!("fault {nth}"))?;
    }
    // How many depends on the kernel's configuration.
    ensure!(
        failed > 10 && last == 7,
        "{failed} have failed, the last with {last}"
    );
    Ok(())
}

/// A file in memory, as network file systems may not work any more after a fault.
struct Copy(PathBuf);

impl Copy {
    fn new(name: &str, content: &[u8]) -> Result<Self> {
        let copy = Self(std::env::temp_dir().join(format!("slowpath-{name}")));
        fs::write(&copy.0, content)?;
        Ok(copy)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Loads a module with faults, after each of which nothing is there.
fn load_with_faults(name: &str, file: &str, parameters: &str) -> Result<()> {
    let path = format!("/sys/module/{name}");
    let copy = Copy::new(name, &fs::read(file)?)?;
    let faults = Faults::new()?;
    let mut last = false;
    let number = faults.each(
        || insmod(&copy.0, parameters),
        |result| {
            last = match result {
                Ok(()) => true,
                Err(error) => match error.downcast::<io::Error>() {
                    Ok(error) => done::<()>(Err(error))?,
                    Err(error) => bail!(error),
                },
            };
            if last {
                rmmod(name)?;
            }
            let left = [path.as_str(), SYSFS, CONFIGFS].map(|path| Path::new(path).exists());
            ensure!(!left[0], "{path} is left");
            ensure!(name != "slowpath" || left == [false; 3], "{left:?}");
            Ok(())
        },
    )?;
    ensure!(last && number > 10, "{number} faults; without one: {last}");
    Ok(())
}

fn fault_in_load() -> Result<()> {
    let path = module()?;
    rmmod("slowpath")?;
    let result = load_with_faults("slowpath", &path, "");
    if !is_loaded() {
        load()?;
    }
    result
}

fn fault_in_load_of_sample() -> Result<()> {
    let puppet = Puppet::new(|_| getppid())?;
    for name in ["latency", "minimal"] {
        let path = Sample::path(name)?;
        let path = path.to_str().context("its path is no text")?;
        let parameters = format!("tid={}", puppet.tid());
        load_with_faults(&format!("slowpath_{name}"), path, &parameters)?;
    }
    // It can be attached still.
    attach(puppet.tid()).map(drop)
}
