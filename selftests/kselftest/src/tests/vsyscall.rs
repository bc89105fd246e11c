// SPDX-License-Identifier: GPL-2.0

//! Emulated vsyscalls: programs call addresses of the kernel's, which faults, and the kernel does
//! what a system call would. Each mode of `vsyscall=` has its tests; in the others they are skipped.

use super::{
    policy::under,
    verdicts::{count, handle, SEEN},
};
use crate::{
    process::{self, Child, Puppet},
    registers::Registers,
    seccomp::seccomp,
    slowpath::{attach, Policy},
    Skip,
};
use anyhow::{ensure, Context, Result};
use std::{
    arch::asm,
    fs,
    sync::atomic::Ordering::SeqCst,
    time::{Duration, Instant},
};

super::tests! {
    [Mitigations, Vsyscall] =>
        vsyscall_is_judged
        vsyscall_is_no_way_around
        vsyscall_log
        vsyscall_after
        vsyscall_set_argument
        vsyscall_signal
        vsyscall_trap
        vsyscall_kill
        vsyscall_redirect_kills
        vsyscall_before_seccomp
        vsyscall_counts_entries_and_exits
        vsyscall_bad_pointer
        vsyscall_restores_registers
        vsyscall_mode;
    [Mitigations, Vsyscall, Time] =>
        vsyscall_delay;
}

const EPERM: i64 = -(libc::EPERM as i64);

/// What stands at each address, and its number as a system call.
#[derive(Clone, Copy, Debug)]
enum Vsyscall {
    Gettimeofday,
    Time,
    Getcpu,
}

use Vsyscall::*;

const ALL: [Vsyscall; 3] = [Gettimeofday, Time, Getcpu];

impl Vsyscall {
    fn address(self) -> u64 {
        0xffff_ffff_ff60_0000 + 0x400 * self as u64
    }

    fn name(self) -> &'static str {
        ["gettimeofday", "time", "getcpu"][self as usize]
    }

    fn number(self) -> i64 {
        [libc::SYS_gettimeofday, libc::SYS_time, libc::SYS_getcpu][self as usize]
    }

    /// Calls it; returns its result, and the registers of its arguments as they are then.
    fn call(self, args: [u64; 2]) -> (i64, [u64; 2]) {
        let [mut di, mut si] = args;
        let ret: i64;
        // SAFETY: Writes at most to what the arguments point to.
        unsafe {
            asm!(
                "call {address}",
                address = in(reg) self.address(),
                inout("rdi") di,
                inout("rsi") si,
                out("rax") ret,
                out("rcx") _,
                out("r11") _,
                clobber_abi("sysv64"),
            );
        }
        (ret, [di, si])
    }

    /// With pointers to nothing: it has nothing to write.
    fn plain(self) -> i64 {
        self.call([0; 2]).0
    }
}

/// The mode, by what the map says of the page.
fn mode() -> Result<&'static str> {
    let maps = fs::read_to_string("/proc/self/maps")?;
    let page = maps.lines().find(|line| line.ends_with("[vsyscall]"));
    Ok(match page.map(|line| line.split(' ').nth(1)) {
        None => "none",
        Some(Some("--xp")) => "xonly",
        Some(Some("r-xp")) => "emulate",
        _ => anyhow::bail!("an unknown mode: {page:?}"),
    })
}

fn emulated() -> Result<()> {
    if mode()? == "none" {
        return Err(Skip("this boot has no vsyscalls").into());
    }
    Ok(())
}

fn now() -> Result<i64> {
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Ok(time.context("before 1970")?.as_secs() as i64)
}

fn vsyscall_is_judged() -> Result<()> {
    emulated()?;
    let rules = ALL.map(|call| format!("{} errno EPERM\n", call.name()));
    let (task, policy) = under(&rules.concat())?;
    for (i, call) in ALL.into_iter().enumerate() {
        ensure!(call.plain() == EPERM, "{call:?} was made");
        policy.set("rules", &format!("{} return {}", call.name(), 4711 + i))?;
        ensure!(call.plain() == 4711 + i as i64, "{call:?}");
        policy.set("rules", &rules.concat())?;
    }
    ensure!(task.stat("errno")? == 3 && task.stat("return")? == 3);
    policy.set("rules", "\n")?;
    let time = Time.plain();
    ensure!((now()? - 1..=now()?).contains(&time));
    ensure!(Gettimeofday.plain() == 0 && Getcpu.plain() == 0);
    Ok(())
}

/// A default refuses it: that of its own architecture.
fn vsyscall_is_no_way_around() -> Result<()> {
    emulated()?;
    let mut puppet = Puppet::new(|i| ALL[usize::from(i)].plain())?;
    puppet.until_idle()?;
    let policy = Policy::new("test", "default errno EPERM\nread allow\nwrite allow")?;
    attach(puppet.tid())?.set("policy", "test")?;
    for own in [true, false] {
        for call in ALL {
            let ret = puppet.call(call as u8)?;
            ensure!((ret == EPERM) == own, "{call:?}: {ret}");
        }
        policy.set("rules", "default arch i386 errno EPERM")?;
    }
    puppet.end()?;
    Ok(())
}

fn vsyscall_log() -> Result<()> {
    emulated()?;
    let (task, policy) = under("time log")?;
    let time = Time.plain();
    ensure!((now()? - 1..=now()?).contains(&time));
    ensure!(policy.hits(1)? == 1 && task.stat("log")? == 1);
    Ok(())
}

fn vsyscall_delay() -> Result<()> {
    emulated()?;
    let (task, _policy) = under("time delay 20ms")?;
    let start = Instant::now();
    ensure!(Time.plain() > 0);
    ensure!(start.elapsed() >= Duration::from_millis(20) && task.stat("delay")? == 1);
    Ok(())
}

fn vsyscall_after() -> Result<()> {
    emulated()?;
    let (_, policy) = under("time after return 4711")?;
    let mut seconds = 0i64;
    ensure!(Time.call([&raw mut seconds as u64, 0]).0 == 4711);
    ensure!((now()? - 1..=now()?).contains(&seconds), "it was not made");
    policy.set("rules", "getcpu after errno EPERM\ntime after errno EFAULT")?;
    ensure!(Getcpu.plain() == EPERM);
    // Which is no fault.
    ensure!(Time.plain() == -i64::from(libc::EFAULT));
    Ok(())
}

fn vsyscall_set_argument() -> Result<()> {
    emulated()?;
    let mut seconds = [0i64; 2];
    let [one, other] = [&raw mut seconds[0] as u64, &raw mut seconds[1] as u64];
    let (_, policy) = under(&format!("time set arg0 {other:#x}"))?;
    let (ret, args) = Time.call([one, 5]);
    ensure!(args == [one, 5], "not put back: {args:x?}");
    ensure!(ret > 0 && seconds == [0, ret], "{seconds:?}");
    policy.set("rules", "\n")?;
    // No change is left over for the next call.
    for _ in 0..3 {
        let (ret, args) = Time.call([one, 6]);
        ensure!(args == [one, 6] && seconds[0] == ret);
    }
    Ok(())
}

fn vsyscall_signal() -> Result<()> {
    emulated()?;
    handle(libc::SIGUSR1, 0);
    let _under = under("time signal SIGUSR1")?;
    let ret = Time.plain();
    ensure!(ret > 0, "{ret}");
    ensure!(count() == 1);
    Ok(())
}

/// What a trap shows in a child.
fn trapped(prepare: impl Fn() -> Result<()>) -> Result<Vec<u64>> {
    handle(libc::SIGSYS, 0);
    let before = count();
    let child = Child::run(|| {
        prepare()?;
        Time.plain();
        Ok(())
    })?;
    child.wait_success()?;
    ensure!(count() == before + 1, "not delivered");
    Ok(SEEN.info.iter().map(|word| word.load(SeqCst)).collect())
}

fn vsyscall_trap() -> Result<()> {
    emulated()?;
    let _policy = Policy::new("test", "time trap 77")?;
    let ours = trapped(|| attach(process::gettid())?.set("policy", "test"))?;
    let theirs = trapped(|| seccomp(Time.number(), libc::SECCOMP_RET_TRAP | 77))?;
    ensure!(ours == theirs, "{ours:x?}, seccomp's {theirs:x?}");
    ensure!(ours[2] == Time.address(), "{:#x}", ours[2]);
    Ok(())
}

/// How a child ends that calls one under rules.
fn end_under(rules: &str) -> Result<i32> {
    let _policy = Policy::new("test", rules)?;
    Child::run(|| {
        attach(process::gettid())?.set("policy", "test")?;
        Time.plain();
        Ok(())
    })?
    .wait()
}

fn vsyscall_kill() -> Result<()> {
    emulated()?;
    for verdict in ["kill_process", "kill_thread", "signal SIGKILL"] {
        let signal = if verdict.ends_with("KILL") {
            libc::SIGKILL
        } else {
            libc::SIGSYS
        };
        let status = end_under(&format!("time {verdict}"))?;
        ensure!(status == 256 + signal, "{verdict}: {status}");
    }
    Ok(())
}

/// As for a tracer behind seccomp that tries the same: what is emulated is no other call.
fn vsyscall_redirect_kills() -> Result<()> {
    emulated()?;
    let status = end_under("time redirect getpid")?;
    ensure!(status == 256 + libc::SIGSYS, "{status}");
    Ok(())
}

fn vsyscall_before_seccomp() -> Result<()> {
    emulated()?;
    let child = Child::run(|| {
        let (_, policy) = under("time return 5")?;
        seccomp(Time.number(), libc::SECCOMP_RET_ERRNO | 77)?;
        ensure!(Time.plain() == 5, "seccomp was first");
        policy.set("rules", "time after return 5")?;
        ensure!(Time.plain() == -77, "seccomp does not judge it");
        policy.set("rules", "\n")?;
        ensure!(Time.plain() == -77);
        Ok(())
    })?;
    child.wait_success()
}

fn vsyscall_counts_entries_and_exits() -> Result<()> {
    emulated()?;
    let (task, _policy) = under("getcpu errno EPERM")?;
    task.set("count_exits", "1")?;
    let counted = || -> Result<[u64; 2]> { Ok([task.stat("entries")?, task.stat("exits")?]) };
    let start = counted()?;
    let before = counted()?;
    for _ in 0..100 {
        Time.plain();
        Getcpu.plain();
    }
    let after = counted()?;
    for i in 0..2 {
        let reading = before[i] - start[i];
        ensure!(
            after[i] - before[i] == 200 + reading,
            "{before:?}, {after:?}"
        );
    }
    Ok(())
}

/// As of a real function: the task faults, whatever the rules make of the call before.
fn vsyscall_bad_pointer() -> Result<()> {
    emulated()?;
    let _policy = Policy::new("test", "time log\ngettimeofday set arg1 0")?;
    for pointer in [8, 1 << 63, 0xffff_ffff_ff60_0000] {
        for call in [Time, Gettimeofday] {
            let child = Child::run(|| {
                attach(process::gettid())?.set("policy", "test")?;
                call.call([pointer, 0]);
                Ok(())
            })?;
            ensure!(
                child.wait()? == 256 + libc::SIGSEGV,
                "{call:?}, {pointer:#x}"
            );
        }
    }
    Ok(())
}

/// A fault is no end of a call that was changed: what it saved must not be another call's.
fn vsyscall_restores_registers() -> Result<()> {
    emulated()?;
    extern "C" fn leave(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
        // SAFETY: The kernel's, valid until the handler returns. The stack has the return address,
        // as the vsyscall is a function.
        unsafe {
            let gregs = &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs;
            let stack = gregs[libc::REG_RSP as usize];
            gregs[libc::REG_RIP as usize] = *(stack as *const i64);
            gregs[libc::REG_RSP as usize] = stack + 8;
        }
    }
    process::handle(libc::SIGSEGV, libc::SA_SIGINFO, leave as *const ());
    let (_, _policy) = under("time set arg1 0x1234\ngetppid set arg2 0x1234")?;
    let mut seed = 5;
    for _ in 0..20 {
        let args = [8, 77];
        let (_, after) = Time.call(args);
        ensure!(after == args, "{after:x?}");
        let mut before = Registers::random(&mut seed);
        before.rax = libc::SYS_getppid as u64;
        let after = crate::registers::syscall(&before);
        let want = before.after(after.rax, &after);
        ensure!(after == want, "{}", after.difference(&want));
    }
    Ok(())
}

/// What each mode lets a program do with the page: read it, and call it. What only faults is not
/// judged.
fn vsyscall_mode() -> Result<()> {
    let command_line = fs::read_to_string("/proc/cmdline")?;
    let mut words = command_line.split_whitespace();
    if let Some(wanted) = words.find_map(|word| word.strip_prefix("vsyscall=")) {
        ensure!(mode()? == wanted, "it is {}, not {wanted}", mode()?);
    }
    let (reads, calls) = match mode()? {
        "emulate" => (0, 0),
        "xonly" => (256 + libc::SIGSEGV, 0),
        _ => (256 + libc::SIGSEGV, 256 + libc::SIGSEGV),
    };
    ensure!(end_under("time return 5")? == calls);
    let child = Child::fork(|| {
        // SAFETY: The kernel's page is there, or this child ends.
        let byte = unsafe { std::ptr::read_volatile(Time.address() as *const u8) };
        i32::from(byte == 0)
    })?;
    ensure!(child.wait()? == reads);
    Ok(())
}
