// SPDX-License-Identifier: GPL-2.0

//! The doors of 32-bit programs, on each path: registers, signals, restarts, new tasks and programs.

use crate::{
    compat::{nr, result, Compat, Door, DOORS},
    paths::Path,
    process::gettid,
    registers::{Registers, AC, FIXED_FLAGS, ID, NT, TF, USER_FLAGS},
    slowpath::{detach, Task},
    tracee::Tracee,
};
use anyhow::{ensure, Context, Result};
use compat32::{CS_IN_CONTEXT, FLAGS_IN_CONTEXT, GENERAL_IN_CONTEXT, IP_IN_CONTEXT, SP_IN_CONTEXT};
use std::{io::Write, os::unix::fs::FileExt};

super::tests_on_each_path! {
    compat_registers
    compat_registers_of_64_bit_doors
    compat_flags
    compat_six_arguments
    compat_upper_registers
    compat_bad_pointer
    compat_bad_stack
    compat_single_step
    compat_signal_in_blocked_call
    compat_signal_at_return
    compat_restart
    compat_restart_syscall
    compat_fork
    compat_vfork
    compat_clone
    compat_clone3
    compat_exec
    compat_exec_of_64_bit_program
    compat_ptrace
    compat_ptrace_writes
}

const ENOSYS: i64 = -(libc::ENOSYS as i64);
const EFAULT: i64 = -(libc::EFAULT as i64);
const EINTR: i64 = -(libc::EINTR as i64);
const EBADF: i64 = -(libc::EBADF as i64);

/// Starts the program, which inherits the path.
fn start(path: Path) -> Result<Compat> {
    let compat = Compat::start()?;
    if path != Path::Fast {
        let task = Task { tid: gettid() };
        let members = task.get("members")?;
        ensure!(members == "2", "it does not inherit: {members} members");
    }
    Ok(compat)
}

/// Makes calls with random registers but those that `set` sets.
fn check(
    compat: &mut Compat,
    door: Door,
    number: i64,
    eax: i64,
    rounds: u64,
    set: impl Fn(&mut Registers),
) -> Result<()> {
    let mut seed = rounds ^ number as u64;
    let mut stack = None;
    for round in 0..rounds {
        let mut before = Registers::random(&mut seed);
        before.rax = number as u64;
        set(&mut before);
        let after = compat.registers(door, &before)?;
        compat
            .unchanged(door, &before, &after, eax)
            .with_context(|| format!("round {round}"))?;
        let stack = *stack.get_or_insert(after.rsp);
        ensure!(after.rsp == stack, "{door:?}: stack {:#x}", after.rsp);
    }
    Ok(())
}

fn ppid() -> i64 {
    std::process::id().into()
}

fn compat_registers(path: Path) -> Result<()> {
    let mut compat = start(path)?;
    for door in DOORS {
        check(&mut compat, door, nr::GETPPID, ppid(), 1000, |_| ())?;
        // No such descriptor, with any registers.
        check(&mut compat, door, nr::FSYNC, EBADF, 200, |regs| {
            regs.rbx |= 1 << 31
        })?;
        for number in [
            17,
            600,
            5000,
            0x4000_0014,
            0x7fff_ffff,
            0x8000_0014,
            0xffff_ffff,
        ] {
            check(&mut compat, door, number, ENOSYS, 50, |_| ())?;
        }
    }
    Ok(())
}

/// A program changes its mode by a far jump. The call counts, not what the program started as.
fn compat_registers_of_64_bit_doors(path: Path) -> Result<()> {
    let mut compat = start(path)?;
    let mut seed = 64;
    for round in 0..1000 {
        let mut before = Registers::random(&mut seed);
        before.rax = libc::SYS_getppid as u64;
        let after = compat.registers(Door::Syscall64, &before)?;
        let mut want = before.after(ppid() as u64, &after);
        want.rsp = after.rsp;
        ensure!(after == want, "round {round}: {}", after.difference(&want));

        before.rax = nr::GETPPID as u64;
        let after = compat.registers(Door::Int80Of64, &before)?;
        let mut want = before.clone();
        (want.rax, want.rip, want.rsp) = (ppid() as u64, after.rip, after.rsp);
        ensure!(
            after == want,
            "int 0x80, round {round}: {}",
            after.difference(&want)
        );
    }
    Ok(())
}

fn compat_flags(path: Path) -> Result<()> {
    let mut compat = start(path)?;
    let settable = USER_FLAGS | NT | AC | ID;
    let bits = (0..32)
        .map(|bit| 1 << bit)
        .filter(|bit| bit & settable != 0);
    for flags in bits.chain([0, settable]) {
        for door in DOORS {
            let set = |regs: &mut Registers| regs.flags = FIXED_FLAGS | flags;
            check(&mut compat, door, nr::GETPPID, ppid(), 20, set)?;
        }
    }
    Ok(())
}

/// `mmap2` checks all of its six arguments: each must arrive.
fn compat_six_arguments(path: Path) -> Result<()> {
    let mut compat = start(path)?;
    let file = std::fs::File::open("/proc/self/exe")?;
    let path = format!("/proc/{}/exe\0", std::process::id());
    compat.write_memory(compat.hello.buffer.into(), path.as_bytes())?;
    let fd = compat.own(nr::OPEN, &[compat.hello.buffer.into(), 0])?;
    for round in 0..50u64 {
        let door = DOORS[round as usize % 2];
        let (address, page) = (0x4000_0000 + round * 0x10000, 1 + round % 5);
        let flags = (libc::MAP_PRIVATE | libc::MAP_FIXED_NOREPLACE) as u64;
        let args = [address, 0x1000, libc::PROT_READ as u64, flags, fd, page];
        let before = Compat::prepare(door, nr::MMAP2, &args);
        let after = compat.registers(door, &before)?;
        compat.unchanged(door, &before, &after, address as i64)?;

        let (mut mapped, mut bytes) = ([0; 4096], [0; 4096]);
        compat.read_memory(address, &mut mapped)?;
        file.read_exact_at(&mut bytes, page * 0x1000)?;
        ensure!(mapped == bytes, "{door:?}: another part of the file");
    }
    Ok(())
}

/// The registers that 32-bit code does not have. SYSRET from the vDSO's call leaves zeroes in some:
/// this shows by what instruction it returned.
fn compat_upper_registers(path: Path) -> Result<()> {
    let mut compat = start(path)?;
    let mut seed = 8;
    for _ in 0..200 {
        let mut before = Registers::random(&mut seed);
        before.rax = nr::GETPPID as u64;
        let after = compat.registers(Door::Int80, &before)?;
        let upper = |regs: &Registers| {
            [
                regs.r8, regs.r9, regs.r10, regs.r11, regs.r12, regs.r13, regs.r14, regs.r15,
            ]
        };
        ensure!(
            upper(&after) == upper(&before),
            "{}",
            after.difference(&before)
        );

        let after = compat.registers(Door::Vdso, &before)?;
        let mut want = upper(&before);
        if path != Path::Iret {
            want = [0; 8];
        }
        // SYSCALL, SYSRET and the entry code each use some of them, and leave nothing there.
        want[0] = if after.r8 == 0 { 0 } else { before.r8 };
        want[3] = after.r11;
        ensure!(upper(&after) == want, "{:x?} {want:x?}", upper(&after));
    }
    Ok(())
}

fn compat_bad_pointer(path: Path) -> Result<()> {
    let mut compat = start(path)?;
    for door in DOORS {
        for pointer in [0, 0x1000, 0xffff_e000, 0xffff_f000, 0xffff_ffff] {
            check(&mut compat, door, nr::UNAME, EFAULT, 20, |regs| {
                regs.rbx = pointer
            })?;
        }
    }
    Ok(())
}

/// The address behind the vDSO's instruction and the `int 0x80` for restarts.
fn landing_pad(compat: &Compat) -> Result<u32> {
    let mut code = [0; 32];
    compat.read_memory(compat.hello.vsyscall.into(), &mut code)?;
    let at = code.windows(2).position(|bytes| bytes == [0xcd, 0x80]);
    let at = at.context("the vDSO has no int 0x80")?;
    Ok(compat.hello.vsyscall + at as u32 + 2)
}

/// Gives the program a stack for signals, at the end of its buffer.
pub(super) fn signal_stack(compat: &mut Compat) -> Result<()> {
    let stack = [compat.hello.buffer + 4096, 0, 4096];
    let at = compat.write_words(64, &stack)?;
    compat.own(nr::SIGALTSTACK, &[at, 0])?;
    Ok(())
}

/// The sixth argument is on the stack. Where there is none, the call fails, and the vDSO faults.
fn compat_bad_stack(path: Path) -> Result<()> {
    let mut compat = start(path)?;
    signal_stack(&mut compat)?;
    compat.handle(
        libc::SIGSEGV,
        libc::SA_SIGINFO | libc::SA_ONSTACK,
        Door::Int80,
    )?;
    let pad = landing_pad(&compat)?;
    for stack in [0, 0x1000, 0xffff_e000, 0xffff_f000, 0xffff_fffd] {
        compat.reset_signals(true)?;
        let mut before = Compat::prepare(Door::Raw, nr::GETPPID, &[]);
        (before.rsp, before.rbp) = (stack, stack);
        compat.registers(Door::Raw, &before)?;
        let signals = compat.signals()?;
        ensure!(signals.count == 1, "{stack:#x}: {} faults", signals.count);
        let seen = &signals.seen[0];
        let eax = i64::from(seen[GENERAL_IN_CONTEXT[0]] as i32);
        ensure!(eax == EFAULT, "{stack:#x}: the call returns {eax}");
        ensure!(
            seen[IP_IN_CONTEXT] == pad,
            "{stack:#x}: at {:#x}",
            seen[IP_IN_CONTEXT]
        );
        ensure!(seen[SP_IN_CONTEXT] == stack as u32);
    }
    Ok(())
}

/// Where a call with TF set traps, and what it returns.
fn step(compat: &mut Compat, door: Door) -> Result<(i64, Vec<[u32; 2]>)> {
    compat.reset_signals(false)?;
    let mut before = Compat::prepare(door, nr::GETPPID, &[]);
    before.flags = FIXED_FLAGS | TF;
    let after = compat.registers(door, &before)?;
    let signals = compat.signals()?;
    let traps = signals.seen.iter().take(signals.count as usize);
    let at = traps
        .map(|seen| [seen[IP_IN_CONTEXT], seen[FLAGS_IN_CONTEXT]])
        .collect();
    Ok((result(&after), at))
}

/// The traps are those of a task that has no handler: behind the instruction to which the call returns.
fn compat_single_step(path: Path) -> Result<()> {
    let mut compat = start(path)?;
    signal_stack(&mut compat)?;
    compat.handle(
        libc::SIGTRAP,
        libc::SA_SIGINFO | libc::SA_ONSTACK,
        Door::Int80,
    )?;
    let pad = landing_pad(&compat)?;
    let mut seen = Vec::new();
    for door in DOORS {
        let steps = step(&mut compat, door)?;
        ensure!(steps.0 == ppid(), "{door:?}: {}", steps.0);
        // The last trap is behind the instruction that clears it.
        let traced = &steps.1[..steps.1.len().saturating_sub(1)];
        let kept = |[_, flags]: &[u32; 2]| u64::from(*flags) & TF != 0;
        ensure!(traced.iter().all(kept), "{door:?}: TF is lost: {steps:x?}");
        let behind_call = steps.1.iter().any(|[ip, _]| *ip == pad + 1);
        ensure!(
            !steps.1.is_empty() && behind_call == (door == Door::Vdso),
            "{door:?}: {steps:x?}"
        );
        seen.push(steps);
    }
    // Only if it was attached.
    let _ = detach(compat.pid());
    for (door, seen) in DOORS.into_iter().zip(seen) {
        let plain = step(&mut compat, door)?;
        ensure!(plain == seen, "{door:?}: {seen:x?} instead of {plain:x?}");
    }
    Ok(())
}

/// The handler's frame has the registers of the call that was interrupted.
fn check_frame(compat: &Compat, door: Door, before: &Registers, eax: i64) -> Result<()> {
    let signals = compat.signals()?;
    ensure!(signals.count == 1, "{} signals", signals.count);
    let seen = &signals.seen[0];
    let mut want = before.general().map(|reg| reg as u32);
    want[0] = eax as u32;
    let mut seen_regs = GENERAL_IN_CONTEXT.map(|i| seen[i]);
    let pad = landing_pad(compat)?;
    if seen[IP_IN_CONTEXT] == pad {
        // What the vDSO has saved and brings back. How much it uses for the call differs.
        for i in [2, 3, 6] {
            seen_regs[i] = want[i];
        }
    }
    ensure!(seen_regs == want, "{seen_regs:x?} instead of {want:x?}");
    ensure!(seen[CS_IN_CONTEXT] & 0xffff == 0x23);
    let flags = compat.flags(door, seen[FLAGS_IN_CONTEXT].into());
    ensure!(flags == compat.flags(door, before.flags));
    Ok(())
}

fn compat_signal_in_blocked_call(path: Path) -> Result<()> {
    let mut compat = start(path)?;
    for door in DOORS {
        for flags in [0, libc::SA_SIGINFO] {
            for back in DOORS {
                compat.handle(libc::SIGUSR1, flags, back)?;
                compat.reset_signals(false)?;
                let before = Compat::prepare(door, nr::PAUSE, &[]);
                compat.send(door, &before, false)?;
                compat.until_blocked(nr::PAUSE)?;
                compat.child.kill(libc::SIGUSR1);
                let after = compat.reply()?;
                compat
                    .unchanged(door, &before, &after, EINTR)
                    .and_then(|()| check_frame(&compat, door, &before, EINTR))
                    .with_context(|| format!("{door:?}, {flags}, {back:?}"))?;
            }
        }
    }
    Ok(())
}

fn compat_signal_at_return(path: Path) -> Result<()> {
    let mut compat = start(path)?;
    for door in DOORS {
        for flags in [0, libc::SA_SIGINFO] {
            for back in DOORS {
                compat.handle(libc::SIGUSR1, flags, back)?;
                for _ in 0..20 {
                    compat.reset_signals(false)?;
                    let args = [compat.pid() as u64, libc::SIGUSR1 as u64];
                    let before = Compat::prepare(door, nr::KILL, &args);
                    let after = compat.registers(door, &before)?;
                    compat
                        .unchanged(door, &before, &after, 0)
                        .and_then(|()| check_frame(&compat, door, &before, 0))
                        .with_context(|| format!("{door:?}, {flags}, {back:?}"))?;
                }
            }
        }
    }
    Ok(())
}

/// By the instruction that was used, or by the `int 0x80` next to it: the registers are the same.
fn compat_restart(path: Path) -> Result<()> {
    let mut compat = start(path)?;
    compat.handle(libc::SIGUSR1, libc::SA_RESTART, Door::Int80)?;
    let (from, mut to) = compat.pipe()?;
    for door in DOORS {
        compat.reset_signals(false)?;
        let buffer = u64::from(compat.hello.buffer);
        let before = Compat::prepare(door, nr::READ, &[from, buffer, 1]);
        compat.send(door, &before, false)?;
        for i in 1..=5 {
            compat.interrupt(nr::READ, i)?;
        }
        to.write_all(&[door as u8 + 1])?;
        let after = compat.reply()?;
        compat.unchanged(door, &before, &after, 1)?;
        let [word] = compat.read_words(0)?;
        ensure!(word & 0xff == door as u32 + 1, "another byte: {word:#x}");
    }
    Ok(())
}

fn compat_restart_syscall(path: Path) -> Result<()> {
    let mut compat = start(path)?;
    compat.handle(libc::SIGUSR1, 0, Door::Int80)?;
    let hour = compat.write_words(64, &[3600, 0])?;
    for door in DOORS {
        let before = Compat::prepare(door, nr::NANOSLEEP, &[hour, 0]);
        compat.send(door, &before, false)?;
        compat.until_blocked(nr::NANOSLEEP)?;
        for _ in 0..3 {
            compat.child.stop()?;
            compat.child.go_on();
            compat.until_blocked(nr::RESTART_SYSCALL)?;
        }
        compat.child.kill(libc::SIGUSR1);
        let after = compat.reply()?;
        compat.unchanged(door, &before, &after, EINTR)?;
    }
    Ok(())
}

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
            text.lines().any(|line| line == "compat_exec_fast"),
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
