// SPDX-License-Identifier: GPL-2.0

//! The doors of 32-bit programs, on each path: registers, signals, restarts.

use crate::{
    compat::{nr, result, Compat, Door, DOORS},
    paths::Path,
    process::gettid,
    registers::{Registers, AC, FIXED_FLAGS, ID, NT, TF, USER_FLAGS},
    slowpath::{detach, Group},
    Skip,
};
use anyhow::{ensure, Context, Result};
use compat32::{CS_IN_CONTEXT, FLAGS_IN_CONTEXT, GENERAL_IN_CONTEXT, IP_IN_CONTEXT, SP_IN_CONTEXT};
use std::{io::Write, os::unix::fs::FileExt};

super::tests_on_each_path! {
    [Mitigations, CompatEntry] =>
        compat_registers
        compat_flags
        compat_six_arguments
        compat_upper_registers
        compat_bad_pointer
        compat_bad_stack
        compat_single_step
        compat_signal_in_blocked_call
        compat_signal_at_return
        compat_restart
        compat_restart_syscall;
    [Mitigations, CompatEntry, FastPath] =>
        compat_registers_of_64_bit_doors;
}

const ENOSYS: i64 = -(libc::ENOSYS as i64);
const EFAULT: i64 = -(libc::EFAULT as i64);
const EINTR: i64 = -(libc::EINTR as i64);
const EBADF: i64 = -(libc::EBADF as i64);

/// Starts the program, which inherits the path.
pub(super) fn start(path: Path) -> Result<Compat> {
    let compat = Compat::start()?;
    if !path.is_untagged() {
        let group = Group {
            name: format!("of-{}", gettid()),
        };
        let members = group.members()?.len();
        ensure!(members == 2, "it does not follow: {members} members");
    }
    Ok(compat)
}

/// Makes calls with random registers but those that `set` sets.
pub(super) fn check(
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

pub(super) fn ppid() -> i64 {
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
        if path != Path::Iret && compat.vdso_is_a_door()? {
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
    if !compat.vdso_is_a_door()? {
        return Err(Skip("the vDSO has no door of its own").into());
    }
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
