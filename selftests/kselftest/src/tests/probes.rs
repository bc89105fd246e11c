// SPDX-License-Identifier: GPL-2.0

//! Probes in the way of a syscall, on each path.

use crate::{
    paths::{fast_path_is_on, Path},
    process::{getppid, gettid, mount},
    registers::{syscall, Registers, SYSCALL_KEEPS_REGISTERS, TF},
    trace::Trace,
};
use anyhow::{ensure, Context, Result};
use std::{fs, sync::atomic::Ordering::Relaxed};

super::tests_on_each_path! {
    [Mitigations, FastPath] =>
        kprobe_on_dispatch
        registers_are_cleared_at_dispatch
        uprobe_on_syscall_instruction;
}

const TRACEFS: &str = "/sys/kernel/tracing";

/// An enabled probe event; removed when dropped.
pub(super) struct Probe {
    kind: &'static str,
    name: &'static str,
}

impl Probe {
    /// Puts a probe, a `kprobe` or a `uprobe`, on a place.
    fn new(kind: &'static str, name: &'static str, place: &str) -> Result<Self> {
        Self::of_type('p', kind, name, place)
    }

    /// Puts a probe on where a function of this program returns.
    pub(super) fn on_return(name: &'static str, function: usize) -> Result<Self> {
        Self::of_type('r', "uprobe", name, &place_of(function as u64)?)
    }

    fn of_type(kind_of: char, kind: &'static str, name: &'static str, place: &str) -> Result<Self> {
        let events = format!("{TRACEFS}/{kind}_events");
        mount(c"tracefs", c"/sys/kernel/tracing", &events)?;
        let probe = Self { kind, name };
        fs::write(events, format!("{kind_of}:test/{name} {place}"))
            .with_context(|| place.to_string())?;
        probe.enable("1")?;
        Ok(probe)
    }

    fn enable(&self, enable: &str) -> Result<()> {
        let file = format!("{TRACEFS}/events/test/{}/enable", self.name);
        fs::write(&file, enable).context(file)
    }

    /// How often it was hit.
    pub(super) fn hits(&self) -> Result<u64> {
        let profile = fs::read_to_string(format!("{TRACEFS}/{}_profile", self.kind))?;
        let line = profile.lines().find(|line| line.contains(self.name));
        let mut words = line.context("no such probe")?.split_whitespace();
        let hits = words.find_map(|word| word.parse().ok());
        hits.context("no number of hits")
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        let _ = self.enable("0");
        let _ = fs::write(
            format!("{TRACEFS}/{}_events", self.kind),
            format!("-:test/{}", self.name),
        );
    }
}

/// Makes calls with random registers; they must change nothing but the result. Where the instruction
/// runs elsewhere, in single steps, RCX and R11 tell so, on mainline as well, but with FRED.
fn check_calls(calls: u64, in_place: bool) -> Result<()> {
    let ppid = getppid() as u64;
    for round in 0..calls {
        let mut before = Registers::random(&mut round.clone());
        before.rax = libc::SYS_getppid as u64;
        let after = syscall(&before);
        let mut want = before.after(ppid, &after);
        if !in_place && !SYSCALL_KEEPS_REGISTERS.load(Relaxed) {
            want.rcx = after.rcx;
            want.r11 |= TF;
        }
        ensure!(after == want, "round {round}: {}", after.difference(&want));
    }
    Ok(())
}

const CALLS: u64 = 300;

fn kprobe_on_dispatch(_: Path) -> Result<()> {
    for (name, place) in [("dispatch", "x64_sys_call"), ("call", "__x64_sys_getppid")] {
        let probe = Probe::new("kprobe", name, place)?;
        let before = probe.hits()?;
        check_calls(CALLS, true)?;
        let hits = probe.hits()? - before;
        ensure!(hits >= CALLS, "{place}: {hits} hits");
    }
    Ok(())
}

/// What a program has in its registers is no use to a speculation attack on the kernel. But with "lean"
/// the fast path leaves those alone that C code preserves.
fn registers_are_cleared_at_dispatch(path: Path) -> Result<()> {
    const OTHERS: [&str; 6] = ["dx", "cx", "r8", "r9", "r10", "r11"];
    const PRESERVED: [&str; 6] = ["bx", "bp", "r12", "r13", "r14", "r15"];

    let lean = fs::read_to_string("/proc/cmdline")?.contains("syscall_fastpath=lean");
    let fast = path.is_untagged() && fast_path_is_on()?;
    // Seccomp reads the arguments in C, and leaves some of them where they were.
    let read = path == Path::Filtered && !fast;
    let mut names: Vec<&str> = OTHERS.into_iter().filter(|_| !read).collect();
    names.extend(PRESERVED.iter().filter(|_| !(lean && fast)));
    let values: Vec<String> = names.iter().map(|n| format!("{n}=%{n}:x64")).collect();
    let place = format!("x64_sys_call nr=%si:u32 {}", values.join(" "));
    let _probe = Probe::new("kprobe", "cleared", &place)?;
    // To read the trace makes calls, too.
    let trace = Trace::of_those("test/cleared", &format!("nr == {}", libc::SYS_getppid))?;

    let before = Registers {
        rax: libc::SYS_getppid as u64,
        ..Registers::random(&mut 1)
    };
    syscall(&before);
    let word = format!("nr={} ", libc::SYS_getppid);
    let lines = trace.lines_with(gettid(), &word)?;
    ensure!(lines.len() == 1, "{lines:?}");
    let users = [
        before.rbx, before.rdx, before.rdi, before.rsi, before.rbp, before.r8, before.r9,
        before.r10, before.r12, before.r13, before.r14, before.r15,
    ];
    for value in lines[0].split_whitespace() {
        let number = value.split_once("=0x").context("no value")?.1;
        let number = u64::from_str_radix(number, 16)?;
        ensure!(
            number == 0 || !users.contains(&number),
            "{value} is the program's"
        );
    }
    Ok(())
}

/// Where an address of this program is, as a uprobe's place.
fn place_of(address: u64) -> Result<String> {
    let maps = fs::read_to_string("/proc/self/maps")?;
    let place = maps.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let start = u64::from_str_radix(start, 16).ok()?;
        let end = u64::from_str_radix(end, 16).ok()?;
        let offset = u64::from_str_radix(words.nth(1)?, 16).ok()?;
        let file = words.nth(2)?;
        (start..end)
            .contains(&address)
            .then(|| format!("{file}:{:#x}", address - start + offset))
    });
    place.context("not in a file")
}

fn uprobe_on_syscall_instruction(_: Path) -> Result<()> {
    let mut call = Registers::random(&mut 1);
    call.rax = libc::SYS_getppid as u64;
    let address = syscall(&call).rip - 2;

    let probe = Probe::new("uprobe", "instruction", &place_of(address)?)?;
    let before = probe.hits()?;
    check_calls(CALLS, false)?;
    let hits = probe.hits()? - before;
    ensure!(hits == CALLS, "{hits} hits");
    Ok(())
}
