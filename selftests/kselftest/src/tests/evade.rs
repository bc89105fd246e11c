// SPDX-License-Identifier: GPL-2.0

//! No way around: whatever a task without privileges makes of a call, and by whatever way it makes
//! it, it is judged.

use super::{
    escape::{child_tries, count, no_way_out, try_call, EPERM},
    ways::has_x32,
};
use crate::{
    process::{
        self, getppid, gettid, make, raise, syscall, Door, Shared, UserDispatch, DOORS, GETPPID,
    },
    seccomp::seccomp_with,
    tracee::Tracee,
};
use anyhow::{ensure, Result};
use std::{
    fs::OpenOptions,
    os::unix::fs::FileExt,
    sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst},
};

super::tests! {
    [FastPath, Cpus] =>
        escape_by_tracer_of_number
        escape_by_tracer_of_syscall_info
        escape_by_tracer_of_restart
        escape_by_tracer_of_rewound_call
        escape_by_tracer_of_injected_call
        escape_by_tracer_of_call_with_signal
        escape_by_seccomp_notification
        escape_by_interrupted_notification
        escape_by_io_uring
        escape_by_own_memory;
    [FastPath] =>
        escape_by_syscall_user_dispatch
        escape_by_seccomp_filter;
    [Mitigations, FastPath] =>
        escape_by_sigreturn;
    [CompatEntry, FastPath, X32] =>
        escape_by_number;
}

fn escape_by_number() -> Result<()> {
    no_way_out(|| {
        for door in DOORS {
            for garbage in [0, 1 << 32, 1 << 62, -1 << 32] {
                count(door.call(GETPPID.map(|nr| nr | garbage), [0; 3]));
            }
        }
        Ok(())
    })
}

/// Whether calls are dispatched to the program, in the lowest byte.
static SELECTOR: Shared<AtomicU32> = Shared::new();

/// The program gets a call that it made, and makes it by itself.
fn escape_by_syscall_user_dispatch() -> Result<()> {
    const BLOCK: u32 = 1;

    extern "C" fn dispatched(_: i32) {
        SELECTOR.store(0, SeqCst);
        try_call();
    }

    no_way_out(|| {
        process::handle(libc::SIGSYS, 0, dispatched as *const ());
        let selector = || UserDispatch::Selector((&raw const *SELECTOR).cast());
        for what in [selector(), UserDispatch::Off, selector()] {
            ensure!(process::user_dispatch(what) == 0, "user dispatch");
            try_call();
        }
        for _ in 0..3 {
            SELECTOR.store(BLOCK, SeqCst);
            getppid();
            ensure!(SELECTOR.load(SeqCst) == 0, "it was not dispatched");
            try_call();
        }
        child_tries()
    })
}

/// A child makes a `gettid`, of which `trick`, at its entry, has the child make a `getppid`: once
/// the tracer is gone, and while it is there.
fn try_trick(trick: impl Fn(&Tracee) -> Result<()>) -> Result<()> {
    try_trick_once(true, &trick)?;
    try_trick_once(false, &trick)
}

fn try_trick_once(detach: bool, trick: &impl Fn(&Tracee) -> Result<()>) -> Result<()> {
    let parent = i64::from(std::process::id());
    let tracee = Tracee::run(libc::PTRACE_O_TRACESYSGOOD, || {
        let ret = syscall(libc::SYS_gettid, [0; 6]);
        ensure!(ret == parent || ret == EPERM, "another call: {ret}");
        count(ret);
        Ok(())
    })?;
    to_syscall_stop(&tracee)?;
    trick(&tracee)?;
    if detach {
        return tracee.detach()?.wait_success();
    }
    to_end(tracee, true)
}

/// Lets it run to its end, with the signals that it gets or without.
fn to_end(tracee: Tracee, signals: bool) -> Result<()> {
    let mut signal = 0;
    loop {
        tracee.go_on(signal)?;
        let status = tracee.wait_any()?;
        if !libc::WIFSTOPPED(status) {
            std::mem::forget(tracee);
            ensure!(status == 0, "the child ends with {status:#x}");
            return Ok(());
        }
        signal = if signals { libc::WSTOPSIG(status) } else { 0 };
    }
}

fn to_syscall_stop(tracee: &Tracee) -> Result<libc::user_regs_struct> {
    tracee.request(libc::PTRACE_SYSCALL, 0)?;
    let status = tracee.wait()?;
    let signal = libc::WSTOPSIG(status);
    ensure!(signal == libc::SIGTRAP | 0x80, "{status:#x}");
    tracee.get()
}

fn change(tracee: &Tracee, f: impl FnOnce(&mut libc::user_regs_struct)) -> Result<()> {
    let mut regs = tracee.get()?;
    f(&mut regs);
    tracee.set(&regs)
}

/// With bits that are no part of it.
fn escape_by_tracer_of_number() -> Result<()> {
    no_way_out(|| {
        for garbage in [0, 1 << 32, u64::MAX << 32] {
            try_trick(|tracee| {
                change(tracee, |regs| {
                    regs.orig_rax = libc::SYS_getppid as u64 | garbage;
                })
            })?;
        }
        Ok(())
    })
}

fn escape_by_tracer_of_syscall_info() -> Result<()> {
    no_way_out(|| {
        try_trick(|tracee| {
            let mut info = [0u64; 11];
            for request in [libc::PTRACE_GET_SYSCALL_INFO, libc::PTRACE_SET_SYSCALL_INFO] {
                let size = size_of_val(&info);
                // SAFETY: `info` has this size.
                let ret = unsafe { libc::ptrace(request, tracee.0.pid, size, info.as_mut_ptr()) };
                ensure!(ret >= 0, "ptrace {request:#x}: {ret}");
                // The number.
                info[3] = libc::SYS_getppid as u64;
            }
            Ok(())
        })
    })
}

/// The kernel is made to believe that a signal has interrupted a `getppid`.
fn escape_by_tracer_of_restart() -> Result<()> {
    let interrupted = |regs: &mut libc::user_regs_struct| {
        regs.orig_rax = libc::SYS_getppid as u64;
        regs.rax = -513i64 as u64;
    };
    let to_signal_stop = |tracee: &Tracee| -> Result<()> {
        tracee.0.kill(libc::SIGUSR1);
        tracee.go_on(0)?;
        let status = tracee.wait()?;
        ensure!(libc::WSTOPSIG(status) == libc::SIGUSR1, "{status:#x}");
        Ok(())
    };
    no_way_out(|| {
        for cancelled in [false, true] {
            let enter = |tracee: &Tracee| {
                if cancelled {
                    change(tracee, |regs| regs.orig_rax = u64::MAX)?;
                }
                Ok::<_, anyhow::Error>(())
            };
            // At the exit of the call, and at the signal.
            try_trick(|tracee| {
                enter(tracee)?;
                to_syscall_stop(tracee)?;
                change(tracee, interrupted)?;
                to_signal_stop(tracee)
            })?;
            try_trick(|tracee| {
                enter(tracee)?;
                to_signal_stop(tracee)?;
                change(tracee, interrupted)
            })?;
        }
        Ok(())
    })
}

/// The length of the instruction that makes a call.
const INSTRUCTION: u64 = 2;

fn escape_by_tracer_of_rewound_call() -> Result<()> {
    no_way_out(|| {
        for step in [false, true] {
            try_trick(|tracee| {
                to_syscall_stop(tracee)?;
                change(tracee, |regs| {
                    regs.rip -= INSTRUCTION;
                    regs.rax = libc::SYS_getppid as u64;
                    regs.orig_rax = u64::MAX;
                })?;
                if step {
                    tracee.request(libc::PTRACE_SINGLESTEP, 0)?;
                    tracee.wait()?;
                }
                Ok(())
            })?;
        }
        Ok(())
    })
}

/// A page that 32-bit calls and code can reach.
fn low_page(prot: i32) -> Result<u64> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT;
    let args = [0, 4096, prot as u64, flags as u64, u64::MAX, 0];
    Ok(make("mmap", libc::SYS_mmap, &args)? as u64)
}

/// Through each door, from a 64-bit and from a 32-bit segment, at code of its own.
fn escape_by_tracer_of_injected_call() -> Result<()> {
    const SEGMENT_32: u64 = 0x23;
    const SEGMENT_64: u64 = 0x33;
    const SYSCALL: &[u8] = b"\x0f\x05";
    const INT80: &[u8] = b"\xcd\x80";

    no_way_out(|| {
        let page = low_page(libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC)?;
        for (cs, code, nr) in [
            (SEGMENT_64, SYSCALL, GETPPID[0]),
            (SEGMENT_64, INT80, GETPPID[1]),
            (SEGMENT_32, INT80, GETPPID[1]),
        ] {
            try_trick(|tracee| {
                let mut regs = to_syscall_stop(tracee)?;
                let memory = format!("/proc/{}/mem", tracee.0.pid);
                let memory = OpenOptions::new().write(true).open(memory)?;
                memory.write_all_at(code, page)?;
                change(tracee, |regs| {
                    (regs.cs, regs.rip, regs.rsp) = (cs, page, page + 4096);
                    (regs.rax, regs.orig_rax) = (nr as u64, u64::MAX);
                })?;
                to_syscall_stop(tracee)?;
                // Its result is that of the call which was interrupted for it.
                regs.rax = to_syscall_stop(tracee)?.rax;
                regs.orig_rax = u64::MAX;
                tracee.set(&regs)
            })?;
        }
        Ok(())
    })
}

/// Returns to the instruction of the call that it interrupted, which is a `getppid` then.
extern "C" fn rewind(_: i32, _: *const libc::siginfo_t, context: *mut libc::ucontext_t) {
    // SAFETY: The kernel's, and returned to by nobody else.
    let registers = unsafe { &mut (*context).uc_mcontext.gregs };
    registers[libc::REG_RIP as usize] -= INSTRUCTION as i64;
    registers[libc::REG_RAX as usize] = libc::SYS_getppid;
}

/// While the call is refused, a signal comes, whose handler has it made again.
fn escape_by_tracer_of_call_with_signal() -> Result<()> {
    no_way_out(|| {
        process::handle(libc::SIGUSR1, libc::SA_SIGINFO, rewind as *const ());
        try_trick(|tracee| {
            change(tracee, |regs| regs.orig_rax = libc::SYS_getppid as u64)?;
            tracee.0.kill(libc::SIGUSR1);
            Ok(())
        })
    })
}

/// With more entry work, and by another way.
fn escape_by_seccomp_filter() -> Result<()> {
    no_way_out(|| {
        for flags in [0, libc::SECCOMP_FILTER_FLAG_TSYNC] {
            for action in [libc::SECCOMP_RET_ALLOW, libc::SECCOMP_RET_LOG] {
                seccomp_with(libc::SYS_getppid, action, flags)?;
                try_call();
            }
        }
        child_tries()
    })
}

/// A supervisor tells the kernel to go on with a call.
fn escape_by_seccomp_notification() -> Result<()> {
    no_way_out(|| {
        let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
        let listener = seccomp_with(libc::SYS_getppid, libc::SECCOMP_RET_USER_NOTIF, flags)?;
        std::thread::spawn(move || loop {
            go_on(listener, receive(listener));
        });
        for _ in 0..3 {
            try_call();
        }
        Ok(())
    })
}

/// Waits for a notification; returns its number.
fn receive(listener: i32) -> u64 {
    // SAFETY: All-zero is valid, and it is for this request.
    unsafe {
        let mut call: libc::seccomp_notif = std::mem::zeroed();
        libc::ioctl(listener, libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut call);
        call.id
    }
}

/// Tells the kernel to make the call.
fn go_on(listener: i32, id: u64) {
    // SAFETY: All-zero is valid, and it is for this request.
    unsafe {
        let mut answer: libc::seccomp_notif_resp = std::mem::zeroed();
        answer.id = id;
        answer.flags = libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32;
        libc::ioctl(listener, libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut answer);
    }
}

/// A filter's tracer makes a `getppid` of a `gettid`, and a signal comes while the filter's supervisor
/// is asked about that. The kernel makes the call again, with which the supervisor has it go on.
fn escape_by_interrupted_notification() -> Result<()> {
    extern "C" fn nothing(_: i32) {}

    no_way_out(|| {
        let parent = i64::from(std::process::id());
        for handled in [false, true] {
            let tracee = Tracee::run(libc::PTRACE_O_TRACESECCOMP, || {
                process::handle(libc::SIGUSR1, libc::SA_RESTART, nothing as *const ());
                let (pid, tid) = (std::process::id() as i32, gettid());
                let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
                let action = libc::SECCOMP_RET_USER_NOTIF;
                let listener = seccomp_with(libc::SYS_getppid, action, flags)?;
                seccomp_with(libc::SYS_gettid, libc::SECCOMP_RET_TRACE, 0)?;
                std::thread::spawn(move || {
                    receive(listener);
                    let args = [pid as u64, tid as u64, libc::SIGUSR1 as u64, 0, 0, 0];
                    syscall(libc::SYS_tgkill, args);
                    go_on(listener, receive(listener));
                });
                let ret = syscall(libc::SYS_gettid, [0; 6]);
                ensure!(ret == parent || ret == EPERM, "another call: {ret}");
                count(ret);
                Ok(())
            })?;
            tracee.go_on(0)?;
            tracee.wait_event(libc::PTRACE_EVENT_SECCOMP)?;
            change(&tracee, |regs| regs.orig_rax = libc::SYS_getppid as u64)?;
            to_end(tracee, handled)?;
        }
        Ok(())
    })
}

/// A handler returns to the instruction of the call that it interrupted, with another number.
fn escape_by_sigreturn() -> Result<()> {
    no_way_out(|| {
        process::handle(libc::SIGUSR1, libc::SA_SIGINFO, rewind as *const ());
        for _ in 0..3 {
            let ret = raise(libc::SIGUSR1);
            ensure!(ret != 0, "no other call is made");
            count(ret);
        }
        Ok(())
    })
}

fn escape_by_io_uring() -> Result<()> {
    const X32: i64 = 0x4000_0000;

    no_way_out(|| {
        let params = low_page(libc::PROT_READ | libc::PROT_WRITE)?;
        let x32 = has_x32()?.then_some(libc::SYS_io_uring_setup | X32);
        for nr in [libc::SYS_io_uring_setup].into_iter().chain(x32) {
            count(syscall(nr, [4, params, 0, 0, 0, 0]));
        }
        let numbers = [libc::SYS_io_uring_setup; 2];
        count(Door::Int80.call(numbers, [4, params, 0]));
        Ok(())
    })
}

/// It may write all that it has, and nothing of that says that it is attached.
fn escape_by_own_memory() -> Result<()> {
    no_way_out(|| {
        let pid = u64::from(std::process::id());
        let (word, zero) = (AtomicU64::new(1), 0u64);
        let piece = |at: *const u64| [at as u64, 8];
        let (from, to) = (piece(&raw const zero), piece(word.as_ptr()));
        let args = [pid, from.as_ptr() as u64, 1, to.as_ptr() as u64, 1, 0];
        make("writing", libc::SYS_process_vm_writev, &args)?;
        ensure!(word.load(SeqCst) == 0, "it was not written");
        try_call();
        let memory = OpenOptions::new().write(true).open("/proc/self/mem")?;
        let at = word.as_ptr() as u64;
        memory.write_all_at(&[1; 8], at)?;
        ensure!(word.load(SeqCst) != 0, "it was not written");
        try_call();
        Ok(())
    })
}
