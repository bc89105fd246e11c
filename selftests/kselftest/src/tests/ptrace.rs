// SPDX-License-Identifier: GPL-2.0

//! What a tracer sees of a task on each path, and what becomes of what it writes.

use crate::{
    paths::Path,
    process::{self, getppid, pipe, shared, until_blocked, Child},
    registers::{random_read, syscall, Registers, AC, BAD_ADDRESSES, FIXED_FLAGS, NT, RF},
    tracee::Tracee,
};
use anyhow::{ensure, Context, Result};
use libc::user_regs_struct;
use std::{fs::File, io::Write, ptr::null_mut};

super::tests_on_each_path! {
    [Mitigations, FastPath] =>
        ptrace_reads_blocked_call
        ptrace_writes_blocked_call
        ptrace_writes_bad_address
        ptrace_reads_at_exit_by_signal
        ptrace_reads_at_exit_by_call
        ptrace_reads_and_writes_at_clone
        ptrace_reads_at_exec
        ptrace_syscall_stops
        ptrace_writes_what_needs_iret
        ptrace_by_32_bits_ends_with_the_call;
}

/// A child that reads a byte with registers of its own, and then tells what is in them.
fn reader(seed: u64) -> Result<(Child, File, *mut (Registers, u8), Registers)> {
    let (from, to) = pipe()?;
    let page = shared::<(Registers, u8)>();
    // SAFETY: Mapped.
    let before = random_read(&from, unsafe { &raw mut (*page).1 }, seed);
    let child = Child::fork(|| {
        let after = syscall(&before);
        // SAFETY: Mapped, and not used by the parent now.
        unsafe { (*page).0 = after };
        0
    })?;
    until_blocked(child.pid, libc::SYS_read)?;
    Ok((child, to, page, before))
}

/// The general registers that a call keeps, as a tracer sees them and as they are.
fn compare(seen: &user_regs_struct, set: &Registers) -> Result<()> {
    let (rcx, r11) = set.rcx_and_r11(seen.rip);
    let pairs = [
        ("rbx", seen.rbx, set.rbx),
        ("rbp", seen.rbp, set.rbp),
        ("r8", seen.r8, set.r8),
        ("r9", seen.r9, set.r9),
        ("r10", seen.r10, set.r10),
        ("r11", seen.r11, r11),
        ("r12", seen.r12, set.r12),
        ("r13", seen.r13, set.r13),
        ("r14", seen.r14, set.r14),
        ("r15", seen.r15, set.r15),
        ("rcx", seen.rcx, rcx),
        ("eflags", seen.eflags, set.flags),
        ("cs", seen.cs, 0x33),
        ("ss", seen.ss, 0x2b),
    ];
    for (name, seen, set) in pairs {
        ensure!(seen == set, "{name}: {seen:#x}, not {set:#x}");
    }
    Ok(())
}

const ROUNDS: u64 = 20;

fn ptrace_reads_blocked_call(_: Path) -> Result<()> {
    for round in 0..ROUNDS {
        let (child, mut to, page, before) = reader(round)?;
        let tracee = Tracee::seize(child, 0)?;
        tracee.interrupt()?;
        let regs = tracee.get()?;
        compare(&regs, &before)?;
        ensure!(regs.orig_rax == libc::SYS_read as u64, "orig_rax");
        ensure!(regs.rdx == 1, "rdx");
        let child = tracee.detach()?;
        until_blocked(child.pid, libc::SYS_read)?;
        to.write_all(&[7])?;
        child.wait_success()?;
        // SAFETY: The child is dead.
        let after = unsafe { &(*page).0 };
        ensure!(after.rax == 1, "the read returns {}", after.rax as i64);
        ensure!(after.rip == regs.rip, "rip");
    }
    Ok(())
}

fn ptrace_writes_blocked_call(_: Path) -> Result<()> {
    let mut seed = 23;
    for round in 0..60 {
        let (child, _to, page, _) = reader(seed)?;
        let tracee = Tracee::seize(child, 0)?;
        tracee.interrupt()?;
        let old = tracee.get()?;
        let mut want = Registers::random(&mut seed);
        want.flags |= [0, NT, RF, AC, NT | AC][round % 5];
        let mut regs = old;
        // No restart.
        regs.orig_rax = u64::MAX;
        regs.rax = 0x1234_5678_9abc_def0 + round as u64;
        regs.rbx = want.rbx;
        regs.rcx = want.rcx;
        regs.rdx = want.rdx;
        regs.rsi = want.rsi;
        regs.rdi = want.rdi;
        regs.rbp = want.rbp;
        regs.r8 = want.r8;
        regs.r9 = want.r9;
        regs.r10 = want.r10;
        regs.r11 = want.r11;
        regs.r12 = want.r12;
        regs.r13 = want.r13;
        regs.r14 = want.r14;
        regs.r15 = want.r15;
        regs.eflags = want.flags;
        tracee.set(&regs)?;
        tracee.detach()?.wait_success()?;
        // SAFETY: The child is dead.
        let after = unsafe { (*page).0.clone() };
        let want = Registers {
            rax: regs.rax,
            // PUSHF does not show RF.
            flags: (want.flags & !RF) | FIXED_FLAGS,
            rip: old.rip,
            rsp: after.rsp,
            ymm: after.ymm,
            ..want
        };
        ensure!(after == want, "round {round}: {}", after.difference(&want));
    }
    Ok(())
}

fn ptrace_writes_bad_address(_: Path) -> Result<()> {
    for bad in BAD_ADDRESSES {
        let (child, _to, _, _) = reader(29)?;
        let tracee = Tracee::seize(child, 0)?;
        tracee.interrupt()?;
        let mut regs = tracee.get()?;
        regs.orig_rax = u64::MAX;
        regs.rip = bad;
        if tracee.set(&regs).is_err() {
            continue;
        }
        let status = tracee.detach()?.wait()?;
        ensure!(status == 256 + libc::SIGSEGV, "{bad:#x}: {status}");
    }
    Ok(())
}

fn ptrace_reads_at_exit_by_signal(_: Path) -> Result<()> {
    for round in 0..ROUNDS {
        let (child, _to, _, before) = reader(round)?;
        let tracee = Tracee::seize(child, libc::PTRACE_O_TRACEEXIT)?;
        tracee.0.kill(libc::SIGTERM);
        ensure!(libc::WSTOPSIG(tracee.wait()?) == libc::SIGTERM);
        tracee.go_on(libc::SIGTERM)?;
        tracee.wait_event(libc::PTRACE_EVENT_EXIT)?;
        compare(&tracee.get()?, &before)?;
        let status = tracee.detach()?.wait()?;
        ensure!(status == 256 + libc::SIGTERM, "{status}");
    }
    Ok(())
}

/// A traced child that waits for a byte, and then makes a call.
fn waiter(call: impl FnOnce() -> i32, options: i32) -> Result<(Tracee, File)> {
    let (mut from, to) = pipe()?;
    let child = Child::fork(move || {
        let _ = std::io::Read::read_exact(&mut from, &mut [0]);
        call()
    })?;
    until_blocked(child.pid, libc::SYS_read)?;
    Ok((Tracee::seize(child, options)?, to))
}

/// One that has got its byte.
fn caller(call: impl FnOnce() -> i32, options: i32) -> Result<Tracee> {
    let (tracee, mut to) = waiter(call, options)?;
    to.write_all(&[0])?;
    Ok(tracee)
}

/// Lets it go on to the next entry or exit of a call.
fn next_stop(tracee: &Tracee) -> Result<user_regs_struct> {
    tracee.request(libc::PTRACE_SYSCALL, 0)?;
    let status = tracee.wait()?;
    ensure!(
        libc::WSTOPSIG(status) == libc::SIGTRAP | 0x80,
        "{status:#x}"
    );
    tracee.get()
}

/// The entry of that call.
fn stop_at(tracee: &Tracee, nr: i64) -> Result<user_regs_struct> {
    loop {
        let regs = next_stop(tracee)?;
        if regs.orig_rax == nr as u64 {
            return Ok(regs);
        }
    }
}

fn ptrace_reads_at_exit_by_call(_: Path) -> Result<()> {
    for round in 0..ROUNDS {
        let mut before = Registers::random(&mut round.clone());
        before.rax = libc::SYS_exit as u64;
        before.rdi = 5;
        let set = before.clone();
        let call = move || syscall(&before).rax as i32;
        let tracee = caller(call, libc::PTRACE_O_TRACEEXIT)?;
        tracee.wait_event(libc::PTRACE_EVENT_EXIT)?;
        let regs = tracee.get()?;
        compare(&regs, &set)?;
        ensure!((regs.rdi, regs.rsi, regs.rdx) == (5, set.rsi, set.rdx));
        ensure!(regs.orig_rax == libc::SYS_exit as u64, "orig_rax");
        ensure!(tracee.detach()?.wait()? == 5, "its status");
    }
    Ok(())
}

/// The tracer sees the parent's registers, and may write them, before the call returns.
fn ptrace_reads_and_writes_at_clone(_: Path) -> Result<()> {
    for round in 0..ROUNDS {
        let mut before = Registers::random(&mut round.clone());
        before.rax = libc::SYS_fork as u64;
        let set = before.clone();
        let call = move || {
            let after = crate::registers::syscall_forking(&before, shared());
            let _ = crate::process::reap(after.rax as i32);
            i32::from(after.r15 != 0x1515 || after.rbx != before.rbx || after.rcx != 0xcccc)
        };
        let tracee = caller(call, libc::PTRACE_O_TRACEFORK)?;
        tracee.wait_event(libc::PTRACE_EVENT_FORK)?;
        let mut regs = tracee.get()?;
        compare(&regs, &set)?;
        let mut pid = 0u64;
        tracee.request(libc::PTRACE_GETEVENTMSG, &raw mut pid as usize)?;

        // The new child, which is stopped before it first returns.
        let child = Tracee(Child { pid: pid as i32 });
        child.wait_event(libc::PTRACE_EVENT_STOP)?;
        let new = child.get()?;
        compare(&new, &set).context("in the child")?;
        ensure!(new.rax == 0, "the child's result");
        ensure!(new.rip == regs.rip, "the child's rip");
        // Its parent reaps it.
        std::mem::forget(child.detach()?);

        regs.r15 = 0x1515;
        regs.rcx = 0xcccc;
        tracee.set(&regs)?;
        tracee.detach()?.wait_success()?;
    }
    Ok(())
}

fn ptrace_reads_at_exec(_: Path) -> Result<()> {
    let call = || {
        let path = c"/proc/self/exe";
        let argv = [c"--list".as_ptr(), c"--list".as_ptr(), null_mut()];
        let mut before = Registers::random(&mut 31);
        before.rax = libc::SYS_execve as u64;
        before.rdi = path.as_ptr() as u64;
        before.rsi = argv.as_ptr() as u64;
        before.rdx = 0;
        // SAFETY: The test's own output is not the new program's.
        unsafe { libc::close(1) };
        syscall(&before);
        1
    };
    let tracee = caller(call, libc::PTRACE_O_TRACEEXEC)?;
    tracee.wait_event(libc::PTRACE_EVENT_EXEC)?;
    let regs = tracee.get()?;
    // RAX does not have the result yet.
    for (name, value) in [
        ("rbx", regs.rbx),
        ("rcx", regs.rcx),
        ("rdx", regs.rdx),
        ("rsi", regs.rsi),
        ("rdi", regs.rdi),
        ("rbp", regs.rbp),
        ("r8", regs.r8),
        ("r9", regs.r9),
        ("r10", regs.r10),
        ("r11", regs.r11),
        ("r12", regs.r12),
        ("r13", regs.r13),
        ("r14", regs.r14),
        ("r15", regs.r15),
    ] {
        ensure!(value == 0, "{name} is {value:#x} in a new program");
    }
    ensure!(regs.eflags & !FIXED_FLAGS == 0, "eflags {:#x}", regs.eflags);
    drop(tracee);
    Ok(())
}

fn ptrace_syscall_stops(_: Path) -> Result<()> {
    for round in 0..ROUNDS {
        let mut before = Registers::random(&mut round.clone());
        before.rax = libc::SYS_getppid as u64;
        let set = before.clone();
        let call = move || {
            let after = syscall(&before);
            let want = Registers {
                r12: 0x1212,
                ..before.after(0x7777, &after)
            };
            if after == want {
                0
            } else {
                eprintln!("{}", after.difference(&want));
                1
            }
        };
        let (tracee, mut to) = waiter(call, libc::PTRACE_O_TRACESYSGOOD)?;
        tracee.interrupt()?;
        to.write_all(&[0])?;
        let regs = stop_at(&tracee, libc::SYS_getppid)?;
        compare(&regs, &set).context("at the entry")?;
        ensure!(
            regs.rax as i64 == -i64::from(libc::ENOSYS),
            "rax at the entry"
        );
        let mut regs = next_stop(&tracee)?;
        compare(&regs, &set).context("at the exit")?;
        ensure!(regs.rax == std::process::id().into(), "rax at the exit");
        regs.rax = 0x7777;
        regs.r12 = 0x1212;
        tracee.set(&regs)?;
        tracee.detach()?.wait_success()?;
    }
    Ok(())
}

/// What SYSRET could not restore, written at the entry, or at the exit.
fn ptrace_writes_what_needs_iret(_: Path) -> Result<()> {
    for round in 0..ROUNDS {
        let mut before = Registers::random(&mut round.clone());
        before.rax = libc::SYS_getppid as u64;
        let call = move || {
            let after = syscall(&before);
            let kept = Registers {
                rax: after.rax,
                rcx: 0x1111,
                r11: 0x2222,
                ..before.after(0, &after)
            };
            if after == kept {
                0
            } else {
                eprintln!("{}", after.difference(&kept));
                1
            }
        };
        let (tracee, mut to) = waiter(call, libc::PTRACE_O_TRACESYSGOOD)?;
        tracee.interrupt()?;
        to.write_all(&[0])?;
        let mut regs = stop_at(&tracee, libc::SYS_getppid)?;
        if round % 2 == 1 {
            regs = next_stop(&tracee)?;
        }
        (regs.rcx, regs.r11) = (0x1111, 0x2222);
        tracee.set(&regs)?;
        tracee.detach()?.wait_success()?;
    }
    Ok(())
}

/// PTRACE_POKEUSR of `orig_eax` as a 32-bit tracer does that.
fn poke_orig_eax(pid: i32, value: i64) -> i64 {
    const PTRACE: u64 = 26;
    const POKEUSR: u64 = 6;
    const ORIG_EAX: u64 = 44;
    let ret: i64;
    // SAFETY: Writes to a register of the child.
    unsafe {
        std::arch::asm!(
            "xchg rbx, {first}",
            "int 0x80",
            "xchg rbx, {first}",
            first = inout(reg) POKEUSR => _,
            inlateout("rax") PTRACE => ret,
            in("rcx") pid,
            in("rdx") ORIG_EAX,
            in("rsi") value,
        );
    }
    ret
}

/// The mark that it leaves on the task: with it a result is looked at as 32 bits.
fn ptrace_by_32_bits_ends_with_the_call(_: Path) -> Result<()> {
    // As 32 bits, -ERESTARTSYS.
    const POSITION: u64 = 0xffff_fe00;
    extern "C" fn ignore(_: i32) {}
    let call = || {
        process::handle(libc::SIGUSR1, 0, ignore as *const ());
        let name = c"test".as_ptr() as u64;
        let file = process::syscall(libc::SYS_memfd_create, [name, 0, 0, 0, 0, 0]) as u64;
        getppid();
        let position = process::syscall(libc::SYS_lseek, [file, POSITION, 0, 0, 0, 0]);
        i32::from(position != POSITION as i64)
    };
    let (tracee, mut to) = waiter(call, libc::PTRACE_O_TRACESYSGOOD)?;
    tracee.interrupt()?;
    to.write_all(&[0])?;
    stop_at(&tracee, libc::SYS_getppid)?;
    let poked = poke_orig_eax(tracee.0.pid, libc::SYS_getppid);
    ensure!(poked == 0, "ptrace: {poked}");
    next_stop(&tracee)?;
    stop_at(&tracee, libc::SYS_lseek)?;
    tracee.0.kill(libc::SIGUSR1);
    tracee.detach()?.wait_success()
}
