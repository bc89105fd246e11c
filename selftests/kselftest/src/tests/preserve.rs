// SPDX-License-Identifier: GPL-2.0

//! Every register, through the forced slow path.

use crate::{
    process::{gettid, reap},
    registers::{child_stack, syscall, syscall_forking, Registers},
    slowpath::{attach, Policy, Task},
};
use anyhow::{ensure, Result};

super::tests! {
    registers_untagged
    registers_slow_path
    registers_iret
    registers_failing_call
    registers_failing_call_iret
    registers_unknown_call
    registers_unknown_call_iret
    registers_refused_call
    registers_refused_call_iret
    registers_returned_value
    registers_six_arguments
    registers_six_arguments_iret
    registers_fork
    registers_fork_iret
    registers_vfork
    registers_vfork_iret
    registers_clone
    registers_clone_iret
    registers_every_errno
}

const ROUNDS: u32 = 5000;

fn tagged(path: &str) -> Result<Task> {
    let task = attach(gettid())?;
    task.set("exit_path", path)?;
    Ok(task)
}

/// Makes a call with random registers, many times; it must change nothing but what it returns.
fn check(nr: i64, rax: i64, rounds: u32) -> Result<()> {
    let mut seed = u64::from(rounds) ^ nr as u64;
    for round in 0..rounds {
        let mut before = Registers::random(&mut seed);
        before.rax = nr as u64;
        if !crate::registers::has_avx() {
            before.ymm = Registers::ZERO.ymm;
        }
        let after = syscall(&before);
        let want = before.after(rax as u64, &after);
        ensure!(after == want, "round {round}: {}", after.difference(&want));
    }
    Ok(())
}

fn ppid() -> i64 {
    // SAFETY: Has no memory effects.
    i64::from(unsafe { libc::getppid() })
}

fn registers_untagged() -> Result<()> {
    check(libc::SYS_getppid, ppid(), ROUNDS)
}

fn check_getppid(path: &str, counter: &str) -> Result<()> {
    let task = tagged(path)?;
    let before = task.stat(counter)?;
    check(libc::SYS_getppid, ppid(), ROUNDS)?;
    let exits = task.stat(counter)? - before;
    ensure!(exits >= ROUNDS.into(), "{exits} exits by {counter}");
    Ok(())
}

fn registers_slow_path() -> Result<()> {
    check_getppid("auto", "sysret")
}

fn registers_iret() -> Result<()> {
    check_getppid("iret", "iret")
}

fn registers_failing_call() -> Result<()> {
    tagged("auto")?;
    // No such descriptor, with any registers.
    check(libc::SYS_fsync, -i64::from(libc::EBADF), ROUNDS)
}

fn registers_failing_call_iret() -> Result<()> {
    tagged("iret")?;
    check(libc::SYS_fsync, -i64::from(libc::EBADF), ROUNDS)
}

fn registers_unknown_call() -> Result<()> {
    tagged("auto")?;
    for nr in [-1, 600, 1 << 31, i64::from(i32::MAX)] {
        check(nr, -i64::from(libc::ENOSYS), 200)?;
    }
    Ok(())
}

fn registers_unknown_call_iret() -> Result<()> {
    tagged("iret")?;
    for nr in [-1, 600, 1 << 31, i64::from(i32::MAX)] {
        check(nr, -i64::from(libc::ENOSYS), 200)?;
    }
    Ok(())
}

fn check_refused(path: &str) -> Result<()> {
    let task = tagged(path)?;
    let policy = Policy::new("refuse", "getppid errno EXDEV")?;
    task.set("policy", "refuse")?;
    check(libc::SYS_getppid, -i64::from(libc::EXDEV), ROUNDS)?;
    ensure!(policy.hits(1)? == ROUNDS.into());
    task.set("policy", "none")
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

/// `mmap` checks all of its six arguments: each must arrive.
fn check_six_arguments(path: &str) -> Result<()> {
    tagged(path)?;
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
        if !crate::registers::has_avx() {
            before.ymm = Registers::ZERO.ymm;
        }
        let after = syscall(&before);
        let want = before.after(address, &after);
        ensure!(after == want, "round {round}: {}", after.difference(&want));

        let mut bytes = [0; 16];
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut bytes, 0x1000)?;
        // SAFETY: Mapped just now.
        ensure!(
            unsafe { *(address as *const [u8; 16]) } == bytes,
            "another part of the file"
        );
    }
    Ok(())
}

fn registers_six_arguments() -> Result<()> {
    check_six_arguments("auto")
}

fn registers_six_arguments_iret() -> Result<()> {
    check_six_arguments("iret")
}

/// A page that parent and child share.
fn shared() -> *mut Registers {
    // SAFETY: A new mapping.
    unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            4096,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
        .cast()
    }
}

/// A call that returns twice must change nothing in either but the result.
fn check_forking(
    path: &str,
    inherit: bool,
    set: impl Fn(&mut Registers, &mut [u64], *mut Registers),
) -> Result<()> {
    let task = tagged(path)?;
    task.set("inherit", if inherit { "1" } else { "0" })?;
    let child = shared();
    let mut stack = vec![0u64; 4096];
    let mut seed = 77;
    for round in 0..60 {
        // SAFETY: Mapped for this.
        unsafe { *child = Registers::ZERO };
        let mut before = Registers::random(&mut seed);
        set(&mut before, &mut stack, child);
        if !crate::registers::has_avx() {
            before.ymm = Registers::ZERO.ymm;
        }
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
    ensure!(task.get("members")? == "1");
    Ok(())
}

fn fork(regs: &mut Registers, _: &mut [u64], _: *mut Registers) {
    regs.rax = libc::SYS_fork as u64;
}

fn vfork(regs: &mut Registers, _: &mut [u64], _: *mut Registers) {
    regs.rax = libc::SYS_vfork as u64;
}

/// With the parent's memory, and a stack of its own.
fn clone(regs: &mut Registers, stack: &mut [u64], child: *mut Registers) {
    regs.rax = libc::SYS_clone as u64;
    regs.rdi = (libc::CLONE_VM | libc::SIGCHLD) as u64;
    regs.rsi = child_stack(stack, child);
}

fn registers_fork() -> Result<()> {
    check_forking("auto", false, fork)
}

fn registers_fork_iret() -> Result<()> {
    check_forking("iret", true, fork)
}

fn registers_vfork() -> Result<()> {
    check_forking("auto", true, vfork)
}

fn registers_vfork_iret() -> Result<()> {
    check_forking("iret", true, vfork)
}

fn registers_clone() -> Result<()> {
    check_forking("auto", true, clone)
}

fn registers_clone_iret() -> Result<()> {
    check_forking("iret", true, clone)
}

fn registers_every_errno() -> Result<()> {
    let task = tagged("auto")?;
    let policy = Policy::new("errnos", "")?;
    task.set("policy", "errnos")?;
    for errno in (1..=4095).step_by(7).filter(|e| !(512..=516).contains(e)) {
        policy.set("rules", &format!("getppid errno {errno}"))?;
        check(libc::SYS_getppid, -errno, 2)?;
    }
    task.set("policy", "none")
}
