// SPDX-License-Identifier: GPL-2.0

//! Loading and unloading the module, with tasks attached.

use crate::{
    process::{getppid, gettid, rounds, syscall, until_blocked, Child, Puppet},
    slowpath::{attach, is_loaded, load, module, rmmod, set, tasks, Group, Policy, CONFIGFS},
};
use anyhow::{ensure, Context, Result};
use std::{fs, io};

super::tests! {
    [Cpus] =>
        module_unload_without_tasks
        module_unload_with_busy_tasks
        module_unload_with_blocked_task
        module_unload_with_group_is_refused
        module_unload_with_force_all
        module_unload_with_replaced_rules
        module_reload_many_times
        module_leaves_no_memory;
    [] =>
        module_is_in_tree
        module_unload_with_policy_is_refused
        module_unload_with_open_file
        module_unload_with_open_file_of_a_policy
        module_does_not_taint;
}

/// Unloads the module, and checks that nothing of it is left; loads it again.
pub(super) fn check_reload() -> Result<()> {
    rmmod("slowpath")?;
    ensure!(!is_loaded(), "the directory is still there");
    ensure!(
        fs::metadata(CONFIGFS).is_err(),
        "the configfs directory is still there"
    );
    ensure!(!fs::read_to_string("/proc/modules")?.contains("slowpath"));
    load()
}

fn module_is_in_tree() -> Result<()> {
    let path = module()?;
    let output = std::process::Command::new("/sbin/modinfo")
        .args(["-F", "intree", &path])
        .output()?;
    ensure!(output.stdout == b"Y\n", "intree: {:?}", output.stdout);
    Ok(())
}

fn module_unload_without_tasks() -> Result<()> {
    check_reload()
}

/// A child that makes calls until it is killed. It leaves the CPU to whoever has something to do: the
/// others here wait for grace periods.
fn busy() -> Result<Child> {
    Child::fork(|| {
        syscall(libc::SYS_setpriority, [0, 0, 19, 0, 0, 0]);
        loop {
            getppid();
        }
    })
}

fn module_unload_with_busy_tasks() -> Result<()> {
    for _ in 0..10 {
        let children = (0..8).map(|_| busy()).collect::<Result<Vec<_>>>()?;
        for child in &children {
            attach(child.pid)?;
        }
        check_reload()?;
        ensure!(tasks()?.is_empty());
        for child in children {
            child.kill(libc::SIGKILL);
            ensure!(child.wait()? == 256 + libc::SIGKILL, "a task died of it");
        }
    }
    Ok(())
}

fn module_unload_with_blocked_task() -> Result<()> {
    let mut puppet = Puppet::new(|_| getppid())?;
    puppet.until_idle()?;
    attach(puppet.tid())?;
    check_reload()?;
    ensure!(puppet.call(0)? == i64::from(gettid()));
    Ok(())
}

/// It is its maker's, as a policy is, and has to be removed first.
fn module_unload_with_group_is_refused() -> Result<()> {
    let group = Group::of(gettid())?;
    let children = (0..8).map(|_| busy()).collect::<Result<Vec<_>>>()?;
    let refused = || -> Result<()> {
        let error = rmmod("slowpath").err().context("the module was unloaded")?;
        ensure!(error.raw_os_error() == Some(libc::EAGAIN), "{error}");
        Ok(())
    };
    refused()?;
    ensure!(group.members()?.len() == 9);
    group.set("leave", "all")?;
    refused()?;
    group.end()?;
    check_reload()?;
    drop(children);
    Ok(())
}

fn module_unload_with_force_all() -> Result<()> {
    set("force_all", "1")?;
    check_reload()?;
    ensure!(crate::slowpath::read("/sys/kernel/slowpath/force_all")? == "0");
    Ok(())
}

/// A policy is its maker's: it must be removed first.
fn module_unload_with_policy_is_refused() -> Result<()> {
    let policy = Policy::new("test", "getppid errno EPERM")?;
    let task = attach(gettid())?;
    task.set("policy", "test")?;
    let error = rmmod("slowpath").err().context("the module was unloaded")?;
    ensure!(error.raw_os_error() == Some(libc::EAGAIN), "{error}");
    ensure!(
        getppid() == -i64::from(libc::EPERM),
        "refusing changed something"
    );
    set("detach", "all")?;
    drop(policy);
    check_reload()
}

fn module_unload_with_open_file() -> Result<()> {
    let task = attach(gettid())?;
    let mut file = fs::File::open(task.path("enabled"))?;
    check_reload()?;
    let error = io::Read::read(&mut file, &mut [0; 10])
        .err()
        .context("read")?;
    ensure!(error.raw_os_error() == Some(libc::ENODEV), "{error}");
    Ok(())
}

/// The file outlives its policy, and the module.
fn module_unload_with_open_file_of_a_policy() -> Result<()> {
    let policy = Policy::new("test", "")?;
    let mut to_read = fs::File::open(policy.path("hits"))?;
    let mut to_write = fs::OpenOptions::new()
        .write(true)
        .open(policy.path("rules"))?;
    fs::remove_dir(policy.path(""))?;
    // Its functions are the module's.
    let errno = rmmod("slowpath").err().and_then(|e| e.raw_os_error());
    ensure!(errno == Some(libc::EWOULDBLOCK), "rmmod: {errno:?}");
    let error = io::Write::write(&mut to_write, b"getppid allow").err();
    let errno = error.context("written")?.raw_os_error();
    ensure!(errno == Some(libc::ENOENT), "write: {errno:?}");
    let error = io::Read::read(&mut to_read, &mut [0; 10]).err();
    let errno = error.context("read")?.raw_os_error();
    ensure!(errno == Some(libc::ENOENT), "read: {errno:?}");
    drop((to_read, to_write));
    check_reload()
}

/// What was replaced is dropped later, by code of the module: that waits for it.
fn module_unload_with_replaced_rules() -> Result<()> {
    for _ in 0..rounds(20) {
        let policy = Policy::new("replaced", "getppid errno EPERM")?;
        for _ in 0..20 {
            policy.set("rules", "getppid errno EACCES")?;
        }
        drop(policy);
        check_reload()?;
    }
    Ok(())
}

fn module_reload_many_times() -> Result<()> {
    reload(0..rounds(100).into())
}

/// Unloads the module and loads it, again and again, with busy tasks attached.
pub(super) fn reload(rounds: impl Iterator<Item = u64>) -> Result<()> {
    let children = (0..8).map(|_| busy()).collect::<Result<Vec<_>>>()?;
    for _ in rounds {
        for child in &children {
            attach(child.pid)?;
        }
        check_reload()?;
    }
    for child in children {
        child.kill(libc::SIGKILL);
        ensure!(child.wait()? == 256 + libc::SIGKILL, "a task died of it");
    }
    Ok(())
}

/// Memory in use by the kernel's allocators, in KiB.
pub(super) fn kernel_memory() -> Result<i64> {
    // Such a kernel keeps memory to itself, and says in the end what was lost.
    if fs::exists("/sys/kernel/debug/kmemleak")? {
        return Ok(0);
    }
    let meminfo = fs::read_to_string("/proc/meminfo")?;
    let mut sum = 0;
    for key in ["SUnreclaim:", "Percpu:", "VmallocUsed:"] {
        let line = meminfo.lines().find(|l| l.starts_with(key)).context(key)?;
        sum += line
            .split_ascii_whitespace()
            .nth(1)
            .context(key)?
            .parse::<i64>()?;
    }
    Ok(sum)
}

/// Attachments, and reloads, leave nothing behind: a leak of a page each would be 8 MiB.
fn module_leaves_no_memory() -> Result<()> {
    let mut puppet = Puppet::new(|_| getppid())?;
    puppet.until_idle()?;
    let mut round = |n: u32| -> Result<i64> {
        for _ in 0..n {
            let policy = Policy::new("test", "getppid return 1")?;
            let task = attach(puppet.tid())?;
            task.set("policy", "test")?;
            policy.set("rules", "getppid return 2")?;
            ensure!(puppet.call(0)? == 2);
            set("detach", "all")?;
            drop(policy);
        }
        check_reload()?;
        kernel_memory()
    };
    let before = round(rounds(100))?;
    let after = round(rounds(2000))?;
    // A KiB for each round.
    ensure!(
        after - before < i64::from(rounds(2000)),
        "{before} KiB before, {after} KiB after"
    );
    until_blocked(puppet.tid(), libc::SYS_read)
}

fn module_does_not_taint() -> Result<()> {
    check_reload()?;
    let tainted = crate::slowpath::read("/proc/sys/kernel/tainted")?;
    // Where modules can be signed, what comes from the build folder is not.
    let unsigned = 1 << 13;
    ensure!(
        tainted.parse::<u64>()? & !unsigned == 0,
        "tainted: {tainted}"
    );
    Ok(())
}
