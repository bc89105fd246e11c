// SPDX-License-Identifier: GPL-2.0

//! New tasks and programs by the doors of 32-bit programs, and tracers there, on each path.

use super::compat::{check, ppid, start};
use crate::{
    compat::{nr, result, Compat, Door, DOORS},
    paths::Path,
    registers::{Registers, FIXED_FLAGS},
    tracee::Tracee,
};
use anyhow::{ensure, Context, Result};

super::tests_on_each_path! {
    [Mitigations, CompatEntry] =>
        compat_fork
        compat_vfork
        compat_clone
        compat_clone3
        compat_exec
        compat_exec_of_64_bit_program
        compat_ptrace
        compat_ptrace_writes;
}

const ENOSYS: i64 = -(libc::ENOSYS as i64);

/// A call that returns twice changes nothing in either but the result.
fn check_forking(
    path: Path,
    set: impl Fn(&Compat, Door) -> Result<Registers>,
    stack_of_child: bool,
) -> Result<()> {
    let mut compat = start(path)?;
    for round in 0..20 {
        for door in DOORS {
            let before = set(&compat, door)?;
            compat.send(door, &before, true)?;
            let (mut parent, mut child) = (compat.receive()?, compat.receive()?);
            if parent.is_child != 0 {
                (parent, child) = (child, parent);
            }
            let context = || format!("{door:?}, round {round}");
            ensure!(
                parent.is_child == 0 && child.is_child == 1,
                "two replies of one"
            );
            let pid = result(&parent.after);
            ensure!(pid > 0, "{}: no child: {pid}", context());
            compat
                .unchanged(door, &before, &parent.after, pid)
                .with_context(context)?;
            compat
                .unchanged(door, &before, &child.after, 0)
                .with_context(context)?;
            ensure!((parent.after.rsp == child.after.rsp) != stack_of_child);
            let status = u64::from(compat.hello.buffer);
            ensure!(compat.own(nr::WAITPID, &[pid as u64, status, 0])? == pid as u64);
            ensure!(
                compat.read_words(0)? == [0],
                "{}: the child failed",
                context()
            );
        }
    }
    Ok(())
}

fn compat_fork(path: Path) -> Result<()> {
    check_forking(
        path,
        |_, door| Ok(Compat::prepare(door, nr::FORK, &[])),
        false,
    )
}

fn compat_vfork(path: Path) -> Result<()> {
    check_forking(
        path,
        |_, door| Ok(Compat::prepare(door, nr::VFORK, &[])),
        false,
    )
}

/// A stack from which the vDSO can return.
fn child_stack(compat: &Compat, before: &mut Registers) -> Result<u64> {
    let at = u64::from(compat.hello.stack) - 16;
    if !compat.vdso_is_a_door()? {
        compat.write_memory(at, &compat.hello.after_vsyscall.to_ne_bytes())?;
        return Ok(at);
    }
    let (bp, dx, cx) = (before.rbp as u32, before.rdx as u32, before.rcx as u32);
    let words = [bp, dx, cx, compat.hello.after_vsyscall];
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    compat.write_memory(at, &bytes)?;
    Ok(at)
}

/// With the parent's memory, and a stack of its own.
fn compat_clone(path: Path) -> Result<()> {
    let flags = (libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD) as u64;
    check_forking(
        path,
        |compat, door| {
            let stack = u64::from(compat.hello.stack) - 16;
            let mut before = Compat::prepare(door, nr::CLONE, &[flags, stack, 0, 0, 0]);
            child_stack(compat, &mut before)?;
            Ok(before)
        },
        true,
    )?;
    let plain = [libc::SIGCHLD as u64, 0, 0, 0, 0];
    check_forking(
        path,
        |_, door| Ok(Compat::prepare(door, nr::CLONE, &plain)),
        false,
    )
}

fn compat_clone3(path: Path) -> Result<()> {
    let size = 64;
    check_forking(
        path,
        |compat, door| {
            let mut args = [0u32; 16];
            // Its fields have eight bytes each; this is the exit signal.
            args[8] = libc::SIGCHLD as u32;
            let at = compat.write_words(64, &args)?;
            Ok(Compat::prepare(door, nr::CLONE3, &[at, size]))
        },
        false,
    )
}

/// Has it execute a program, with one argument.
fn exec(compat: &mut Compat, door: Door, path: &std::path::Path, argument: &str) -> Result<()> {
    let buffer = u64::from(compat.hello.buffer);
    compat.write_memory(buffer + 1024, format!("{}\0", path.display()).as_bytes())?;
    compat.write_memory(buffer + 2048, format!("{argument}\0").as_bytes())?;
    let (first, second) = (buffer as u32 + 1024, buffer as u32 + 2048);
    let (number, argv) = if door == Door::Syscall64 {
        (libc::SYS_execve, vec![first, 0, second, 0, 0, 0])
    } else {
        (nr::EXECVE, vec![first, second, 0])
    };
    let argv = compat.write_words(0, &argv)?;
    let before = Compat::prepare(door, number, &[buffer + 1024, argv, 0]);
    compat.send(door, &before, false)
}

const ALL_DOORS: [Door; 4] = [Door::Int80, Door::Vdso, Door::Int80Of64, Door::Syscall64];

fn compat_exec(path: Path) -> Result<()> {
    let mut compat = start(path)?;
    for door in ALL_DOORS {
        exec(&mut compat, door, &crate::compat::program()?, "")?;
        compat.has_executed()?;
        let mut start = compat.hello.start;
        // The stack has the program's arguments.
        start[7] = 0;
        ensure!(
            start == [0, 0, 0, 0, 0, 0, 0, 0, FIXED_FLAGS as u32],
            "{door:?}: {start:x?}"
        );
        check(&mut compat, Door::Vdso, nr::GETPPID, ppid(), 10, |_| ())?;
    }
    Ok(())
}

fn compat_exec_of_64_bit_program(path: Path) -> Result<()> {
    for door in ALL_DOORS {
        let mut compat = start(path)?;
        exec(&mut compat, door, &std::env::current_exe()?, "--list")?;
        let (text, status) = compat.output()?;
        ensure!(status == 0, "{door:?}: {status:#x}");
        ensure!(
            text.lines()
                .any(|line| line.starts_with("compat_exec_fast ")),
            "{door:?}: {text}"
        );
    }
    Ok(())
}

const SYSCALL_STOP: i32 = libc::SIGTRAP | 0x80;

/// Goes on to the next stop at a call.
fn next_stop(tracee: &Tracee) -> Result<libc::user_regs_struct> {
    tracee.request(libc::PTRACE_SYSCALL, 0)?;
    let status = tracee.wait()?;
    ensure!(status >> 8 == SYSCALL_STOP, "another stop: {status:#x}");
    tracee.get()
}

/// Has the program make a call, and `f` look at, and change, its registers at both stops. Returns
/// what the program's registers are then.
fn traced(
    compat: &mut Compat,
    door: Door,
    before: &Registers,
    mut f: impl FnMut(bool, &mut libc::user_regs_struct) -> Result<bool>,
) -> Result<Registers> {
    let tracee = Tracee::seize(
        crate::process::Child { pid: compat.pid() },
        libc::PTRACE_O_TRACESYSGOOD,
    )?;
    tracee.interrupt()?;
    compat.send(door, before, false)?;
    let mut regs = next_stop(&tracee)?;
    while regs.orig_rax != before.rax {
        regs = next_stop(&tracee)?;
    }
    for entry in [true, false] {
        if f(entry, &mut regs)? {
            tracee.set(&regs)?;
        }
        if entry {
            regs = next_stop(&tracee)?;
        }
    }
    std::mem::forget(tracee.detach()?);
    compat.reply()
}

fn argument_registers(regs: &libc::user_regs_struct) -> [u32; 6] {
    [regs.rbx, regs.rcx, regs.rdx, regs.rsi, regs.rdi, regs.rbp].map(|reg| reg as u32)
}

fn compat_ptrace(path: Path) -> Result<()> {
    let mut compat = start(path)?;
    for door in DOORS {
        let args = [1, 0x8000_0002, 3, 4, 0xffff_0005, 6];
        let before = Compat::prepare(door, nr::GETPPID, &args);
        let kept = compat.flags(door, u64::MAX);
        let after = traced(&mut compat, door, &before, |entry, regs| {
            let rax = if entry { ENOSYS } else { ppid() };
            ensure!(regs.rax as i64 == rax, "{door:?}: rax {}", regs.rax as i64);
            ensure!(argument_registers(regs) == args.map(|arg| arg as u32));
            ensure!(regs.cs == 0x23);
            ensure!(
                regs.eflags & kept == before.flags & kept,
                "{:#x}",
                regs.eflags
            );
            Ok(false)
        })?;
        compat.unchanged(door, &before, &after, ppid())?;
    }
    Ok(())
}

fn compat_ptrace_writes(path: Path) -> Result<()> {
    let mut compat = start(path)?;
    for door in DOORS {
        let before = Compat::prepare(door, nr::GETPPID, &[1, 2, 3, 4, 5, 6]);
        // Another call, and what the program finds in its registers.
        let after = traced(&mut compat, door, &before, |entry, regs| {
            if entry {
                regs.rsi = 0x5151;
            } else {
                regs.rax = 4711;
                regs.rdi = 0xd1d1;
                regs.rbx = 0xb0b0;
            }
            Ok(true)
        })?;
        let mut want = before.clone();
        (want.rsi, want.rdi, want.rbx) = (0x5151, 0xd1d1, 0xb0b0);
        compat.unchanged(door, &want, &after, 4711)?;

        // A call that is skipped.
        let after = traced(&mut compat, door, &before, |entry, regs| {
            if entry {
                regs.orig_rax = u64::MAX;
            }
            Ok(entry)
        })?;
        compat
            .unchanged(door, &before, &after, ENOSYS)
            .with_context(|| format!("{door:?}, skipped"))?;
    }
    Ok(())
}
