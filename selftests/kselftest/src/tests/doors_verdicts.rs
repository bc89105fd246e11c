// SPDX-License-Identifier: GPL-2.0

//! Each verdict does the same, through whatever door the call comes.

use super::ways::*;
use crate::compat::{nr, Compat, Door};
use anyhow::{ensure, Result};
use compat32::{GENERAL_IN_CONTEXT, IP_IN_CONTEXT};
use std::time::{Duration, Instant};

super::tests! {
    [Mitigations, CompatEntry, FastPath, X32] =>
        doors_errno
        doors_return
        doors_log
        doors_after
        doors_redirect
        doors_set_argument
        doors_signal
        doors_trap_is_that_of_seccomp
        doors_kill;
    [Mitigations, CompatEntry, FastPath, X32, Time] =>
        doors_delay;
}

fn doors_errno() -> Result<()> {
    let (_policy, task, mut compat) = under("getppid errno EXDEV")?;
    for way in WAYS {
        way.check(&mut compat, GETPPID, &[], EXDEV)?;
    }
    ensure!(task.stat("errno")? == WAYS.len() as u64);
    Ok(())
}

fn doors_return() -> Result<()> {
    let (_policy, _, mut compat) = under("getppid return 0x12345678\ngetpid return -77")?;
    for way in WAYS {
        way.check(&mut compat, GETPPID, &[], 0x1234_5678)?;
        way.check(&mut compat, GETPID, &[], -77)?;
    }
    Ok(())
}

fn doors_log() -> Result<()> {
    let (policy, _, mut compat) = under("getppid log")?;
    for (i, way) in working_ways()?.enumerate() {
        way.check(&mut compat, GETPPID, &[], ppid())?;
        ensure!(policy.hits(1)? == i as u64 + 1);
    }
    Ok(())
}

fn doors_delay() -> Result<()> {
    let (_policy, task, mut compat) = under("getppid delay 20ms")?;
    for (i, way) in working_ways()?.enumerate() {
        let start = Instant::now();
        way.check(&mut compat, GETPPID, &[], ppid())?;
        ensure!(start.elapsed() >= Duration::from_millis(20), "{way:?}");
        ensure!(task.stat("delay_ns")? >= 20_000_000 * (i as u64 + 1));
    }
    Ok(())
}

fn doors_after() -> Result<()> {
    let rules = "getppid after return 4711\ngetpid after errno EXDEV\npipe after return 7";
    let (_policy, _, mut compat) = under(rules)?;
    for way in working_ways()? {
        way.check(&mut compat, GETPPID, &[], 4711)?;
        way.check(&mut compat, GETPID, &[], EXDEV)?;
        // It was made.
        compat.write_words(0, &[0; 2])?;
        let buffer = compat.hello.buffer.into();
        way.check(&mut compat, [libc::SYS_pipe, nr::PIPE], &[buffer], 7)?;
        ensure!(compat.read_words(0)? != [0; 2], "{way:?}: no pipe");
    }
    Ok(())
}

fn doors_redirect() -> Result<()> {
    let (_policy, _, mut compat) = under("getpid redirect getppid")?;
    for way in working_ways()? {
        for _ in 0..10 {
            way.check(&mut compat, GETPID, &[], ppid())?;
        }
    }
    Ok(())
}

fn doors_set_argument() -> Result<()> {
    // There is no such process.
    let (policy, _, mut compat) = under("getpgid arg0 == 0x7fffffff set arg0 0")?;
    let group = Way {
        door: Door::Int80,
        arch: 1,
    }
    .call(&mut compat, GETPGID, &[0])?;
    ensure!(group > 0);
    for way in working_ways()? {
        for _ in 0..10 {
            way.check(&mut compat, GETPGID, &[0x7fff_ffff], group)?;
        }
    }
    // None of the others changes, and each is put back: the program's own wait is by five.
    for i in 1..6 {
        policy.set("rules", &format!("getppid set arg{i} 0x1234"))?;
        for way in working_ways()? {
            way.check(&mut compat, GETPPID, &[1, 2, 3, 4, 5, 6], ppid())?;
        }
    }
    Ok(())
}

fn doors_signal() -> Result<()> {
    let (_policy, task, mut compat) = under("getppid signal SIGUSR1 errno EINTR")?;
    for way in WAYS {
        compat.handle(libc::SIGUSR1, libc::SA_SIGINFO, Door::Int80)?;
        compat.reset_signals(false)?;
        let before = Compat::prepare(way.door, way.number(GETPPID), &[]);
        let after = compat.registers(way.door, &before)?;
        ensure!(
            after.rax as i32 == EINTR as i32,
            "{way:?}: {:#x}",
            after.rax
        );
        let signals = compat.signals()?;
        ensure!(signals.count == 1, "{way:?}: {} signals", signals.count);
        // The signal's number, its error, its code.
        let info = &signals.info[..3];
        ensure!(
            info == [libc::SIGUSR1 as u32, 0, libc::SI_KERNEL as u32],
            "{info:x?}"
        );
    }
    ensure!(task.stat("errno")? == WAYS.len() as u64);
    Ok(())
}

/// What a trap shows: the information word by word, and the registers but for the stack's.
fn trapped(compat: &mut Compat, door: Door) -> Result<([u32; 32], [u32; 8])> {
    compat.handle(libc::SIGSYS, libc::SA_SIGINFO, Door::Int80)?;
    compat.reset_signals(false)?;
    let args = [1, 2, 3, 4, 5, 6];
    compat.call(door, nr::GETPPID, &args)?;
    let signals = compat.signals()?;
    ensure!(signals.count == 1, "{door:?}: {} signals", signals.count);
    let seen = &signals.seen[0];
    let mut regs = [seen[IP_IN_CONTEXT]; 8];
    for (reg, index) in regs.iter_mut().zip(GENERAL_IN_CONTEXT) {
        *reg = seen[index];
    }
    Ok((signals.info, regs))
}

fn doors_trap_is_that_of_seccomp() -> Result<()> {
    for door in crate::compat::DOORS {
        let (policy, _, mut ours) = under("getppid trap 77")?;
        let ours = trapped(&mut ours, door)?;
        let mut theirs = Compat::start()?;
        seccomp(&mut theirs, nr::GETPPID, libc::SECCOMP_RET_TRAP | 77)?;
        let theirs = trapped(&mut theirs, door)?;
        ensure!(ours == theirs, "{door:?}: {ours:x?}, seccomp's {theirs:x?}");
        ensure!(ours.0[1] == 77 && policy.hits(1)? == 1);
    }
    Ok(())
}

fn doors_kill() -> Result<()> {
    for verdict in ["kill_process", "kill_thread"] {
        for way in WAYS {
            let (_policy, _, mut compat) = under(&format!("getppid {verdict}"))?;
            let before = Compat::prepare(way.door, way.number(GETPPID), &[]);
            compat.send(way.door, &before, false)?;
            let status = compat.output()?.1;
            ensure!(status == 256 + libc::SIGSYS, "{verdict}, {way:?}: {status}");
        }
    }
    Ok(())
}
