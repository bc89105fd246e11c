// SPDX-License-Identifier: GPL-2.0

//! Every register, on each path.

use crate::{
    paths::Path,
    process::{getppid, gettid, reap, shared, Child},
    registers::{
        child_stack, syscall, syscall_forking, Registers, AC, FIXED_FLAGS, ID, NT, USER_FLAGS,
    },
    slowpath::{attach, Policy, Task},
    Skip,
};
use anyhow::{ensure, Context, Result};
use std::arch::asm;

super::tests_on_each_path! {
    [Mitigations, FastPath] =>
        registers_call
        registers_failing_call
        registers_unknown_call
        registers_upper_half_of_number
        registers_every_errno
        registers_six_arguments
        registers_x87_and_sse_state
        registers_segment_bases
        registers_flags
        registers_fork
        registers_vfork
        registers_clone
        calls_fault_nothing
        call_that_moves_the_vdso_under_itself;
}

super::tests! {
    [Mitigations, FastPath] =>
        registers_refused_call
        registers_refused_call_iret
        registers_returned_value
        registers_injected_errno;
}

const ROUNDS: u32 = 5000;

/// Makes a call with random registers but those that `set` sets; it must change nothing but its
/// result.
fn check_with(
    nr: i64,
    rounds: u32,
    set: impl Fn(u32, &mut Registers),
    rax: impl Fn(u32) -> i64,
) -> Result<()> {
    let mut seed = u64::from(rounds) ^ nr as u64;
    for round in 0..rounds {
        let mut before = Registers::random(&mut seed);
        before.rax = nr as u64;
        set(round, &mut before);
        let after = syscall(&before);
        let want = before.after(rax(round) as u64, &after);
        ensure!(after == want, "round {round}: {}", after.difference(&want));
    }
    Ok(())
}

pub(super) fn check(nr: i64, rax: i64, rounds: u32) -> Result<()> {
    check_with(nr, rounds, |_, _| (), |_| rax)
}

fn registers_call(_: Path) -> Result<()> {
    check(libc::SYS_getppid, getppid(), ROUNDS)
}

/// A return with the kernel's page tables is mended by a fault, and nobody would notice.
fn calls_fault_nothing(_: Path) -> Result<()> {
    const CALLS: i64 = 1000;

    let faults = || -> Result<i64> {
        // SAFETY: All-zero is valid, and written to.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: Valid for writes.
        ensure!(unsafe { libc::getrusage(libc::RUSAGE_THREAD, &mut usage) } == 0);
        Ok(usage.ru_minflt)
    };
    let before = faults()?;
    for _ in 0..CALLS {
        getppid();
    }
    let faults = faults()? - before;
    ensure!(faults < CALLS / 10, "{faults} faults in {CALLS} calls");
    Ok(())
}

fn registers_failing_call(_: Path) -> Result<()> {
    // No such descriptor, with any registers.
    check(libc::SYS_fsync, -i64::from(libc::EBADF), ROUNDS)
}

fn registers_unknown_call(_: Path) -> Result<()> {
    // Without an entry in the table, then out of its range.
    for nr in [
        337,
        423,
        -1,
        -2,
        473,
        511,
        512,
        600,
        1 << 29,
        1 << 31,
        i64::from(i32::MAX),
    ] {
        check(nr, -i64::from(libc::ENOSYS), 200)?;
    }
    // Not even with a number in the range of 16 bits, or 9.
    for nr in [0x1_006e, 0x26e] {
        check(nr, -i64::from(libc::ENOSYS), 200)?;
    }
    Ok(())
}

/// The number is an int: the kernel ignores the rest of the register.
fn registers_upper_half_of_number(_: Path) -> Result<()> {
    for garbage in [1 << 32, 1 << 62, i64::MIN, -1 << 32] {
        check(garbage | libc::SYS_getppid, getppid(), 200)?;
        check(garbage | 0x8000_006e, -i64::from(libc::ENOSYS), 200)?;
    }
    Ok(())
}

/// Seeking in memory returns the offset, be it what it may.
fn registers_every_errno(_: Path) -> Result<()> {
    let file = std::fs::File::open("/proc/self/mem")?;
    let fd = std::os::fd::AsRawFd::as_raw_fd(&file) as u64;
    let value = |round| -1 - i64::from(round);
    check_with(
        libc::SYS_lseek,
        4096,
        |round, regs| {
            regs.rdi = fd;
            regs.rsi = value(round) as u64;
            regs.rdx = libc::SEEK_SET as u64;
        },
        value,
    )
}

fn check_refused(path: &str) -> Result<()> {
    let task = tagged(path)?;
    let policy = Policy::new("refuse", "getppid errno EXDEV")?;
    task.set("policy", "refuse")?;
    check(libc::SYS_getppid, -i64::from(libc::EXDEV), ROUNDS)?;
    ensure!(policy.hits(1)? == ROUNDS.into());
    task.set("policy", "none")
}

fn tagged(path: &str) -> Result<Task> {
    let task = attach(gettid())?;
    task.set("exit_path", path)?;
    Ok(task)
}

fn registers_refused_call() -> Result<()> {
    check_refused("auto")
}

fn registers_refused_call_iret() -> Result<()> {
    check_refused("iret")
}

fn registers_returned_value() -> Result<()> {
    let task = tagged("auto")?;
    let _policy = Policy::new("value", "getppid return 0x123456789abcdef0")?;
    task.set("policy", "value")?;
    check(libc::SYS_getppid, 0x1234_5678_9abc_def0, ROUNDS)?;
    task.set("policy", "none")
}

fn registers_injected_errno() -> Result<()> {
    let task = tagged("auto")?;
    let policy = Policy::new("errnos", "")?;
    task.set("policy", "errnos")?;
    for errno in (1..=4095).step_by(7).filter(|e| !(512..=516).contains(e)) {
        policy.set("rules", &format!("getppid errno {errno}"))?;
        check(libc::SYS_getppid, -errno, 2)?;
    }
    task.set("policy", "none")
}

/// `mmap` checks all of its six arguments: each must arrive.
fn registers_six_arguments(_: Path) -> Result<()> {
    let file = std::fs::File::open("/proc/self/exe")?;
    let fd = std::os::fd::AsRawFd::as_raw_fd(&file) as u64;
    let mut seed = 6;
    for round in 0..500u64 {
        let mut before = Registers::random(&mut seed);
        let address = 0x2000_0000_0000 + round * 0x10000;
        before.rax = libc::SYS_mmap as u64;
        before.rdi = address;
        before.rsi = 0x1000;
        before.rdx = libc::PROT_READ as u64;
        before.r10 = (libc::MAP_PRIVATE | libc::MAP_FIXED_NOREPLACE) as u64;
        before.r8 = fd;
        before.r9 = 0x1000;
        let after = syscall(&before);
        let want = before.after(address, &after);
        ensure!(after == want, "round {round}: {}", after.difference(&want));

        let mut bytes = [0; 16];
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut bytes, 0x1000)?;
        // SAFETY: A page was mapped there just now, to be read; nobody unmaps it.
        let mapped = unsafe { *(address as *const [u8; 16]) };
        ensure!(mapped == bytes, "another part of the file");
    }
    Ok(())
}

/// The area of FXSAVE.
#[repr(C, align(16))]
struct Fxsave([u8; 512]);

/// Control words that are not the default, eight x87 registers, and what FXSAVE saves of SSE.
fn registers_x87_and_sse_state(_: Path) -> Result<()> {
    let mut before = Fxsave([0; 512]);
    let mut after = Fxsave([0; 512]);
    for nr in [libc::SYS_getppid, libc::SYS_sched_yield] {
        for round in 0..2000u32 {
            let control = 0x27f | (round as u16 & 3) << 10;
            let mxcsr = 0x1f80 | (round & 3) << 13;
            // SAFETY: The state is put back to the ABI's default at the end.
            unsafe {
                asm!(
                    "fninit",
                    "fldcw [{control}]",
                    "ldmxcsr [{mxcsr}]",
                    "fldpi", "fldl2e", "fld1", "fldlg2", "fldz", "fldln2", "fldl2t",
                    "fxsave [{before}]",
                    "syscall",
                    "fxsave [{after}]",
                    "fninit",
                    "ldmxcsr [{default}]",
                    control = in(reg) &control,
                    mxcsr = in(reg) &mxcsr,
                    default = in(reg) &0x1f80u32,
                    before = in(reg) &mut before,
                    after = in(reg) &mut after,
                    inout("rax") nr => _,
                    out("rcx") _, out("r11") _,
                    out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _,
                    out("st(4)") _, out("st(5)") _, out("st(6)") _, out("st(7)") _,
                );
            }
            // The bytes behind the registers are whatever was there.
            ensure!(
                before.0[..416] == after.0[..416],
                "call {nr}, round {round}"
            );
            ensure!(before.0[0..2] == control.to_le_bytes(), "the control word");
            ensure!(before.0[24..28] == mxcsr.to_le_bytes(), "MXCSR");
        }
    }
    Ok(())
}

const ARCH_SET_GS: i64 = 0x1001;
const ARCH_GET_FS: i64 = 0x1003;
const ARCH_GET_GS: i64 = 0x1004;

fn arch_prctl(code: i64, arg: u64) -> i64 {
    let nr = libc::SYS_arch_prctl;
    crate::process::syscall(nr, [code as u64, arg, 0, 0, 0, 0])
}

fn base(code: i64) -> Result<u64> {
    let mut base = 0u64;
    ensure!(arch_prctl(code, &raw mut base as u64) == 0, "arch_prctl");
    // SAFETY: The kernel wrote it.
    Ok(unsafe { std::ptr::read_volatile(&base) })
}

fn registers_segment_bases(_: Path) -> Result<()> {
    let fs = base(ARCH_GET_FS)?;
    for round in 1..500u64 {
        let gs = round << 33 | 0x1234;
        ensure!(arch_prctl(ARCH_SET_GS, gs) == 0, "arch_prctl");
        getppid();
        // With a switch to another task in between, if there is one.
        crate::process::syscall(libc::SYS_sched_yield, [0; 6]);
        ensure!(base(ARCH_GET_GS)? == gs, "round {round}: GS base");
        ensure!(base(ARCH_GET_FS)? == fs, "round {round}: FS base");
    }
    Ok(())
}

/// Each flag that a program can set, alone and all of them.
fn registers_flags(_: Path) -> Result<()> {
    let settable = USER_FLAGS | NT | AC | ID;
    let bits = (0..64)
        .map(|bit| 1 << bit)
        .filter(|bit| bit & settable != 0);
    for flags in bits.chain([0, settable]) {
        let set = |_, regs: &mut Registers| regs.flags = FIXED_FLAGS | flags;
        check_with(libc::SYS_getppid, 50, set, |_| getppid())?;
    }
    Ok(())
}

/// A call that returns twice must change nothing in either but the result.
fn check_forking(set: impl Fn(&mut Registers, &mut [u64], *mut Registers)) -> Result<()> {
    let child = shared::<Registers>();
    let mut stack = vec![0u64; 4096];
    let mut seed = 77;
    for round in 0..60 {
        // SAFETY: Mapped for this.
        unsafe { *child = Registers::ZERO };
        let mut before = Registers::random(&mut seed);
        set(&mut before, &mut stack, child);
        let after = syscall_forking(&before, child);
        let pid = after.rax as i32;
        ensure!(pid > 0, "round {round}: no child: {pid}");
        ensure!(reap(pid)? == 0, "round {round}: the child failed");
        let want = before.after(pid as u64, &after);
        ensure!(after == want, "round {round}: {}", after.difference(&want));
        // SAFETY: The child is dead.
        let seen = unsafe { (*child).clone() };
        let want = before.after(0, &seen);
        ensure!(
            seen == want,
            "round {round}, child: {}",
            seen.difference(&want)
        );
        ensure!(
            seen.rip == after.rip,
            "round {round}: the child returned elsewhere"
        );
    }
    Ok(())
}

fn registers_fork(_: Path) -> Result<()> {
    check_forking(|regs, _, _| regs.rax = libc::SYS_fork as u64)
}

fn registers_vfork(_: Path) -> Result<()> {
    check_forking(|regs, _, _| regs.rax = libc::SYS_vfork as u64)
}

/// With the parent's memory, and a stack of its own.
fn registers_clone(_: Path) -> Result<()> {
    check_forking(|regs, stack, child| {
        regs.rax = libc::SYS_clone as u64;
        regs.rdi = (libc::CLONE_VM | libc::SIGCHLD) as u64;
        regs.rsi = child_stack(stack, child);
    })
}

/// Execution goes on where the vDSO is now, and not where the call was made.
fn call_that_moves_the_vdso_under_itself(_: Path) -> Result<()> {
    // SYSCALL; POP RBP; RET
    const GADGET: [u8; 4] = [0x0f, 0x05, 0x5d, 0xc3];

    let maps = std::fs::read_to_string("/proc/self/maps")?;
    let vdso = maps.lines().find(|line| line.ends_with("[vdso]"));
    let range = vdso.and_then(|line| line.split(' ').next()?.split_once('-'));
    let (start, end) = range.context("there is no vDSO")?;
    let start = u64::from_str_radix(start, 16)?;
    let size = u64::from_str_radix(end, 16)? - start;
    // SAFETY: Mapped.
    let code = unsafe { std::slice::from_raw_parts(start as *const u8, size as usize) };
    let at = code.windows(GADGET.len()).position(|bytes| bytes == GADGET);
    let Some(at) = at else {
        return Err(Skip("this vDSO has no call that returns at once").into());
    };

    // What uses the vDSO does not find it any more.
    let child = Child::run(|| {
        let target = 0x3000_0000_0000u64;
        let result: u64;
        // SAFETY: The gadget pops what is pushed here.
        unsafe {
            asm!(
                "lea rax, [rip + 2f]",
                "push rax",
                "push rbp",
                "mov eax, {nr}",
                "jmp {gadget}",
                "2:",
                nr = const libc::SYS_mremap,
                gadget = in(reg) start + at as u64,
                in("rdi") start,
                in("rsi") size,
                in("rdx") size,
                in("r10") libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED,
                in("r8") target,
                out("rax") result,
                out("rcx") _, out("r11") _,
            );
        }
        ensure!(result == target, "mremap returns {:#x}", result as i64);
        Ok(())
    })?;
    child.wait_success()
}
