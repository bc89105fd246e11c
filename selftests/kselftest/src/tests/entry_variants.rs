// SPDX-License-Identifier: GPL-2.0

//! What the entry does besides for some boots: the stack offset's randomization, and context
//! tracking.

use crate::{
    paths::{fast_path_is_on, Path, Paths},
    process::{self, getppid, gettid, Puppet},
    Skip,
};
use anyhow::{ensure, Context, Result};
use std::{collections::BTreeSet, fs};

super::tests! {
    [FastPath] =>
        stack_offset_is_as_the_boot_says
        stack_of_a_waiting_call_is_unwound
        path_on_cpus_that_are_tracked
        migration_between_cpus_that_are_tracked;
}

/// The kernel's configuration: where it was built, or where distributions keep it.
fn config() -> Result<String> {
    let built = std::env::var("OBJ").map(|obj| format!("{obj}/.config"));
    let file = match built {
        Ok(file) => file,
        Err(_) => {
            let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
            format!("/boot/config-{}", release.trim())
        }
    };
    fs::read_to_string(&file).context(file)
}

/// Where the stack is in 300 calls: another place in each of them, or always the same.
fn stack_offset_is_as_the_boot_says() -> Result<()> {
    const TRIGGER: &str = "/sys/kernel/debug/provoke-crash/DIRECT";
    if fs::metadata(TRIGGER).is_err() {
        return Err(Skip("the kernel has no LKDTM").into());
    }
    let command_line = fs::read_to_string("/proc/cmdline")?;
    let random = match command_line.rsplit_once("randomize_kstack_offset=") {
        Some((_, value)) => value.starts_with("on"),
        None => config()?.contains("\nCONFIG_RANDOMIZE_KSTACK_OFFSET_DEFAULT=y\n"),
    };
    for path in [Path::Fast, Path::Filtered, Path::Slow] {
        let mut puppet = Puppet::new(move |_| {
            if path.take().is_err() {
                return -1;
            }
            let ok = (0..300).all(|_| fs::write(TRIGGER, "REPORT_STACK").is_ok());
            i64::from(ok) - 1
        })?;
        ensure!(puppet.call(0)? == 0, "{path:?}");
        let log = std::process::Command::new("/bin/dmesg").output()?.stdout;
        let log = String::from_utf8_lossy(&log);
        let start = format!("Starting stack offset tracking for pid {}", puppet.tid());
        let of_this = log.split(&start).nth(1).context("no report")?;
        let offsets: BTreeSet<i32> = of_this
            .lines()
            .filter_map(|line| line.split("Stack offset: ").nth(1)?.parse().ok())
            .collect();
        // Six bits; a few places may not have come up.
        let good = if random {
            offsets.len() > 50
        } else {
            offsets.len() == 1
        };
        ensure!(good, "{path:?}: {} places", offsets.len());
    }
    Ok(())
}

/// Wherever the stack was moved to: up to the entry.
fn stack_of_a_waiting_call_is_unwound() -> Result<()> {
    for path in [Path::Fast, Path::Filtered, Path::Slow] {
        let mut puppet = Puppet::new(move |command| match command {
            b'p' => i64::from(path.take().is_ok()) - 1,
            _ => 0,
        })?;
        ensure!(puppet.call(b'p')? == 0, "{path:?}");
        for _ in 0..20 {
            puppet.call(0)?;
            puppet.until_idle()?;
            let stack = fs::read_to_string(format!("/proc/{}/stack", puppet.tid()))?;
            let last = stack.lines().last().context("no frames")?;
            let is_entry = ["entry_SYSCALL_64", "fred"]
                .iter()
                .any(|entry| last.contains(entry));
            ensure!(is_entry, "{path:?}: {stack}");
        }
    }
    Ok(())
}

/// The CPUs that are tracked, and the others.
fn tracked() -> Result<(usize, usize)> {
    let list = fs::read_to_string("/sys/devices/system/cpu/nohz_full").unwrap_or_default();
    let tracked = list
        .trim()
        .parse()
        .map_err(|_| Skip("not one CPU is tracked, and one not"))?;
    ensure!(tracked != 0, "CPU 0 keeps time");
    Ok((tracked, 0))
}

fn run_on(cpu: usize) -> i64 {
    let mut set = [0u64; 16];
    set[cpu / 64] = 1 << (cpu % 64);
    let size = size_of_val(&set) as u64;
    let set = &raw const set as u64;
    process::syscall(libc::SYS_sched_setaffinity, [0, size, set, 0, 0, 0])
}

const CALLS: u64 = 1000;

fn path_on_cpus_that_are_tracked() -> Result<()> {
    let (tracked, other) = tracked()?;
    for cpu in [tracked, other] {
        let mut puppet = Puppet::new(move |_| {
            let tid = gettid();
            if run_on(cpu) != 0 {
                return -1;
            }
            let Ok(before) = Paths::of(tid) else {
                return -2;
            };
            for _ in 0..CALLS {
                getppid();
            }
            match Paths::of(tid) {
                Ok(after) => after.since(before).fast as i64,
                Err(_) => -2,
            }
        })?;
        let fast = puppet.call(0)?;
        // Reading the counts takes some calls, too.
        ensure!(
            if fast_path_is_on()? {
                fast >= CALLS as i64
            } else {
                fast == 0
            },
            "CPU {cpu}: {fast}"
        );
    }
    Ok(())
}

/// Calls that come in on one kind of CPU and go out on the other. The kernel warns, and RCU
/// stalls, if it takes user space for the kernel, or the other way round.
fn migration_between_cpus_that_are_tracked() -> Result<()> {
    let (tracked, other) = tracked()?;
    for path in [Path::Fast, Path::Filtered, Path::Slow] {
        let mut puppet = Puppet::new(move |_| {
            if path.take().is_err() {
                return -1;
            }
            for _ in 0..CALLS {
                for cpu in [tracked, other] {
                    if run_on(cpu) != 0 {
                        return -2;
                    }
                    getppid();
                }
            }
            0
        })?;
        ensure!(puppet.call(0)? == 0, "{path:?}");
    }
    Ok(())
}
