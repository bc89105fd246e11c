// SPDX-License-Identifier: GPL-2.0

//! Signals before, in and after syscalls, on each path: frames, restarts, and what handlers change.

use crate::{
    paths::Path,
    process::{self, getppid, pipe, until, until_blocked, Child, Shared, Zeroed},
    registers::{
        random_read, syscall, Registers, AC, BAD_ADDRESSES, FIXED_FLAGS, RF,
        SYSCALL_KEEPS_REGISTERS, TF, USER_FLAGS,
    },
};
use anyhow::{ensure, Result};
use std::{
    arch::asm,
    io::Write,
    os::fd::AsRawFd,
    ptr::null_mut,
    sync::atomic::{
        AtomicPtr, AtomicU64,
        Ordering::{Relaxed, SeqCst},
    },
};

super::tests_on_each_path! {
    [Mitigations, FastPath] =>
        signal_in_blocked_call
        signal_restarts_call
        signal_restarts_call_with_timeout
        signal_at_return
        sigreturn_to_other_registers
        sigreturn_to_bad_address
        step_over_syscall
        syscall_at_top_of_user_space;
    [Mitigations, FastPath, Cpus, Time] =>
        signal_at_any_time;
}

/// What the handlers below saw last, and how often they ran.
struct Seen {
    count: AtomicU64,
    gregs: [AtomicU64; 23],
}

// SAFETY: As its parts.
unsafe impl Zeroed for Seen {}

static SEEN: Shared<Seen> = Shared::new();

impl Seen {
    fn get(&self, reg: i32) -> u64 {
        self.gregs[reg as usize].load(SeqCst)
    }

    /// What the frame had, in the order of [`Registers`]; the vector registers are not looked at.
    fn registers(&self, other: &Registers) -> Registers {
        Registers {
            rax: self.get(libc::REG_RAX),
            rbx: self.get(libc::REG_RBX),
            rcx: self.get(libc::REG_RCX),
            rdx: self.get(libc::REG_RDX),
            rsi: self.get(libc::REG_RSI),
            rdi: self.get(libc::REG_RDI),
            rbp: self.get(libc::REG_RBP),
            r8: self.get(libc::REG_R8),
            r9: self.get(libc::REG_R9),
            r10: self.get(libc::REG_R10),
            r11: self.get(libc::REG_R11),
            r12: self.get(libc::REG_R12),
            r13: self.get(libc::REG_R13),
            r14: self.get(libc::REG_R14),
            r15: self.get(libc::REG_R15),
            flags: self.get(libc::REG_EFL),
            rip: self.get(libc::REG_RIP),
            rsp: other.rsp,
            ymm: other.ymm,
        }
    }
}

type Handler = extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::ucontext_t);

fn handle(signal: i32, flags: i32, handler: Handler) {
    // Mapped now, so that children share it.
    let _ = &*SEEN;
    process::handle(signal, libc::SA_SIGINFO | flags, handler as *const ());
}

/// A handler that tells what its frame has, and may then change it.
macro_rules! handler {
    ($name:ident, |$gregs:ident| $body:block) => {
        extern "C" fn $name(_: i32, _: *mut libc::siginfo_t, context: *mut libc::ucontext_t) {
            // SAFETY: The kernel's, valid until the handler returns.
            let $gregs = unsafe { &mut (*context).uc_mcontext.gregs };
            for (to, from) in SEEN.gregs.iter().zip(&*$gregs) {
                to.store(*from as u64, SeqCst);
            }
            $body
            SEEN.count.fetch_add(1, SeqCst);
        }
    };
}

handler!(record, |_gregs| {});

fn check_after(after: &Registers, before: &Registers, rax: i64) -> Result<()> {
    let want = before.after(rax as u64, after);
    ensure!(*after == want, "after: {}", after.difference(&want));
    Ok(())
}

/// The frame of the handler that interrupted a call: `back` bytes before the return address.
fn check_frame(before: &Registers, after: &Registers, rax: i64, back: u64) -> Result<()> {
    let frame = SEEN.registers(after);
    let mut want = before.after(rax as u64, after);
    want.rip = after.rip - back;
    want.ymm = after.ymm;
    ensure!(frame == want, "frame: {}", frame.difference(&want));
    Ok(())
}

const ROUNDS: u64 = 20;

fn signal_in_blocked_call(_: Path) -> Result<()> {
    handle(libc::SIGUSR1, 0, record);
    for round in 0..ROUNDS {
        let (from, _to) = pipe()?;
        let child = Child::run(|| {
            let mut byte = 0;
            let before = random_read(&from, &mut byte, round);
            let after = syscall(&before);
            check_after(&after, &before, -i64::from(libc::EINTR))?;
            check_frame(&before, &after, -i64::from(libc::EINTR), 0)
        })?;
        until_blocked(child.pid, libc::SYS_read)?;
        child.kill(libc::SIGUSR1);
        child.wait_success()?;
    }
    Ok(())
}

fn signal_restarts_call(_: Path) -> Result<()> {
    handle(libc::SIGUSR1, libc::SA_RESTART, record);
    for round in 0..ROUNDS {
        let (from, mut to) = pipe()?;
        let child = Child::run(|| {
            let mut byte = 0;
            let before = random_read(&from, &mut byte, round);
            let after = syscall(&before);
            check_after(&after, &before, 1)?;
            // At the instruction again, with its number.
            check_frame(&before, &after, libc::SYS_read, 2)
        })?;
        for _ in 0..3 {
            let count = SEEN.count.load(SeqCst);
            until_blocked(child.pid, libc::SYS_read)?;
            child.kill(libc::SIGUSR1);
            until("handled", || Ok(SEEN.count.load(SeqCst) == count + 1))?;
        }
        until_blocked(child.pid, libc::SYS_read)?;
        to.write_all(&[1])?;
        child.wait_success()?;
    }
    Ok(())
}

/// Such a call goes on as `restart_syscall`, which nobody sees.
fn signal_restarts_call_with_timeout(_: Path) -> Result<()> {
    for round in 0..ROUNDS {
        let (from, mut to) = pipe()?;
        let child = Child::run(|| {
            let mut poll = libc::pollfd {
                fd: from.as_raw_fd(),
                events: libc::POLLIN,
                revents: 0,
            };
            let mut before = Registers::random(&mut round.clone());
            before.rax = libc::SYS_poll as u64;
            before.rdi = &raw mut poll as u64;
            before.rsi = 1;
            before.rdx = 100_000;
            let after = syscall(&before);
            check_after(&after, &before, 1)
        })?;
        until_blocked(child.pid, libc::SYS_poll)?;
        child.stop()?;
        child.go_on();
        until_blocked(child.pid, libc::SYS_restart_syscall)?;
        to.write_all(&[1])?;
        child.wait_success()?;
    }
    Ok(())
}

/// A call that sends its own task a signal.
fn raise(seed: &mut u64, signal: i32) -> Registers {
    let mut before = Registers::random(seed);
    before.rax = libc::SYS_kill as u64;
    before.rdi = u64::from(std::process::id());
    before.rsi = signal as u64;
    before
}

fn signal_at_return(_: Path) -> Result<()> {
    handle(libc::SIGUSR1, 0, record);
    let mut seed = 5;
    for _ in 0..1000 {
        let before = raise(&mut seed, libc::SIGUSR1);
        let after = syscall(&before);
        check_after(&after, &before, 0)?;
        check_frame(&before, &after, 0, 0)?;
    }
    ensure!(SEEN.count.load(SeqCst) == 1000);
    Ok(())
}

/// From a timer, at the instruction, at the return, and wherever else.
fn signal_at_any_time(_: Path) -> Result<()> {
    handle(libc::SIGALRM, libc::SA_RESTART, record);
    let interval = libc::timeval {
        tv_sec: 0,
        tv_usec: 300,
    };
    let timer = libc::itimerval {
        it_interval: interval,
        it_value: interval,
    };
    // SAFETY: `timer` is valid for reads.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, null_mut()) };
    let ppid = getppid();
    let (mut seed, mut at_return) = (9, 0);
    for round in 0u64.. {
        let mut before = Registers::random(&mut seed);
        before.rax = libc::SYS_getppid as u64;
        let count = SEEN.count.load(SeqCst);
        let after = syscall(&before);
        check_after(&after, &before, ppid)?;
        // One signal, during the call, and none while we look.
        let one = || SEEN.count.load(SeqCst) == count + 1;
        let before_look = one();
        let mut frame = SEEN.registers(&after);
        if before_look && one() && frame.rip == after.rip {
            // Where it came in user mode, the CPU may have set RF.
            frame.flags &= !RF;
            let want = Registers {
                ymm: after.ymm,
                ..before.after(ppid as u64, &after)
            };
            ensure!(frame == want, "frame: {}", frame.difference(&want));
            at_return += 1;
        }
        if at_return >= 20 && round > 5000 {
            break;
        }
    }
    Ok(())
}

/// What the next handler puts into its frame.
static WANT: AtomicPtr<Registers> = AtomicPtr::new(null_mut());

handler!(replace, |gregs| {
    // SAFETY: Set by the test, which waits for us.
    let want = unsafe { &*WANT.load(SeqCst) };
    gregs[libc::REG_RAX as usize] = want.rax as i64;
    gregs[libc::REG_RBX as usize] = want.rbx as i64;
    gregs[libc::REG_RCX as usize] = want.rcx as i64;
    gregs[libc::REG_RDX as usize] = want.rdx as i64;
    gregs[libc::REG_RSI as usize] = want.rsi as i64;
    gregs[libc::REG_RDI as usize] = want.rdi as i64;
    gregs[libc::REG_RBP as usize] = want.rbp as i64;
    gregs[libc::REG_R8 as usize] = want.r8 as i64;
    gregs[libc::REG_R9 as usize] = want.r9 as i64;
    gregs[libc::REG_R10 as usize] = want.r10 as i64;
    gregs[libc::REG_R11 as usize] = want.r11 as i64;
    gregs[libc::REG_R12 as usize] = want.r12 as i64;
    gregs[libc::REG_R13 as usize] = want.r13 as i64;
    gregs[libc::REG_R14 as usize] = want.r14 as i64;
    gregs[libc::REG_R15 as usize] = want.r15 as i64;
    gregs[libc::REG_EFL as usize] = want.flags as i64;
});

fn sigreturn_to_other_registers(_: Path) -> Result<()> {
    handle(libc::SIGUSR1, 0, replace);
    handle(libc::SIGTRAP, 0, stop_stepping);
    let mut seed = 11;
    let mut want = Registers::ZERO;
    WANT.store(&raw mut want, SeqCst);
    for round in 0..400 {
        let extra = [0, RF, AC, TF, AC | RF][round % 5];
        want = Registers::random(&mut seed);
        want.flags |= extra;
        // SAFETY: Tells the compiler that the handler reads it.
        unsafe { asm!("/* {} */", in(reg) &raw mut want) };
        let before = raise(&mut seed, libc::SIGUSR1);
        let count = SEEN.count.load(SeqCst);
        let after = syscall(&before);
        // RF is never seen by PUSHF. TF traps, and the handler of that clears it.
        let mut want = Registers {
            flags: want.flags & !(RF | TF),
            rip: after.rip,
            rsp: after.rsp,
            ymm: before.ymm,
            ..want.clone()
        };
        want.flags |= FIXED_FLAGS;
        ensure!(after == want, "round {round}: {}", after.difference(&want));
        let traps = SEEN.count.load(SeqCst) - count - 1;
        ensure!(traps == u64::from(extra == TF), "{traps} traps");
    }
    Ok(())
}

handler!(stop_stepping, |gregs| {
    gregs[libc::REG_EFL as usize] &= !(TF as i64);
});

static BAD: AtomicU64 = AtomicU64::new(0);
static GOOD: AtomicU64 = AtomicU64::new(0);

handler!(go_bad, |gregs| {
    GOOD.store(gregs[libc::REG_RIP as usize] as u64, SeqCst);
    gregs[libc::REG_RIP as usize] = BAD.load(SeqCst) as i64;
});

handler!(go_back, |gregs| {
    gregs[libc::REG_RIP as usize] = GOOD.load(SeqCst) as i64;
});

fn sigreturn_to_bad_address(_: Path) -> Result<()> {
    handle(libc::SIGUSR1, 0, go_bad);
    handle(libc::SIGSEGV, 0, go_back);
    let mut seed = 13;
    for bad in BAD_ADDRESSES.into_iter().chain([u64::MAX]) {
        BAD.store(bad, SeqCst);
        let before = raise(&mut seed, libc::SIGUSR1);
        let count = SEEN.count.load(SeqCst);
        let after = syscall(&before);
        check_after(&after, &before, 0)?;
        ensure!(SEEN.count.load(SeqCst) == count + 2, "{bad:#x}: no fault");
        ensure!(
            SEEN.get(libc::REG_RIP) == bad,
            "{bad:#x}: the fault is elsewhere"
        );
    }
    Ok(())
}

/// The trap comes after the first instruction behind the call, which is one of one byte, where SYSRET
/// would have it come before that; with FRED, which knows of the call, it does.
fn step_over_syscall(_: Path) -> Result<()> {
    handle(libc::SIGTRAP, 0, stop_stepping);
    let ppid = getppid() as u64;
    let mut seed = 17;
    for round in 1..=300 {
        let mut before = Registers::random(&mut seed);
        before.rax = libc::SYS_getppid as u64;
        before.flags = FIXED_FLAGS | (before.flags & USER_FLAGS) | TF;
        let after = syscall(&before);
        let mut want = before.after(ppid, &after);
        want.flags &= !TF;
        ensure!(after == want, "round {round}: {}", after.difference(&want));
        ensure!(SEEN.count.load(SeqCst) == round, "not one trap for each");
        let at = SEEN.get(libc::REG_RIP) - after.rip;
        let want = u64::from(!SYSCALL_KEEPS_REGISTERS.load(Relaxed));
        ensure!(at == want, "the trap is {at} bytes behind the call");
    }
    Ok(())
}

handler!(go_to_rbx, |gregs| {
    gregs[libc::REG_RIP as usize] = gregs[libc::REG_RBX as usize];
});

/// The return address of the call is the first that is not the user's.
fn syscall_at_top_of_user_space(_: Path) -> Result<()> {
    const PAGE: u64 = 4096;

    handle(libc::SIGSEGV, 0, go_to_rbx);
    // With five levels of page tables, or four.
    let top = [56, 47]
        .map(|bits| (1 << bits) - PAGE)
        .into_iter()
        .find(|top| {
            // SAFETY: Maps what is free.
            let page = unsafe {
                libc::mmap(
                    (top - PAGE) as *mut _,
                    PAGE as usize,
                    libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC,
                    libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE,
                    -1,
                    0,
                )
            };
            page as u64 == top - PAGE
        });
    let top = top.ok_or_else(|| anyhow::anyhow!("the last page cannot be mapped"))?;
    // SAFETY: Just mapped.
    unsafe { ((top - 2) as *mut [u8; 2]).write([0x0f, 0x05]) };
    let ppid = getppid();
    let set = Registers {
        rcx: 0x1234,
        ..Registers::ZERO
    };
    for round in 1..=100 {
        let result: i64;
        // SAFETY: The handler jumps to where RBX points. It has the stack below the red zone.
        unsafe {
            asm!(
                "push rbx",
                "lea rbx, [rip + 2f]",
                "jmp {call}",
                "2:",
                "pop rbx",
                call = in(reg) top - 2,
                inout("rax") libc::SYS_getppid => result,
                inout("rcx") set.rcx => _, out("r11") _,
            );
        }
        ensure!(result == ppid, "the result is {result}");
        ensure!(SEEN.count.load(SeqCst) == round, "no fault");
        ensure!(SEEN.get(libc::REG_RIP) == top, "the fault is elsewhere");
        ensure!(SEEN.get(libc::REG_RCX) == set.rcx_and_r11(top).0, "RCX");
    }
    Ok(())
}
