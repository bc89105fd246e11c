// SPDX-License-Identifier: GPL-2.0

//! What a filter adds to a call: ours, and its peers, each in a process of its own.

use crate::{
    bpf,
    cases::measure_null_call,
    steer::{self, Path},
};
use anyhow::{ensure, Context, Result};
use clap::ValueEnum;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};
use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    os::unix::net::UnixStream,
    process::Command,
    sync::atomic::{AtomicU32, Ordering::SeqCst},
};

/// The kernel that a filter is measured on.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kernel {
    Mainline,
    /// Mainline with options that some peers need.
    Peers,
    Ours,
}

enum Setup {
    /// Done by the process that is measured, for itself.
    Own(fn() -> Result<()>),
    /// Its parent traces it, and does nothing at each stop.
    Traced,
    /// It runs under strace.
    Strace,
}

struct Filter {
    name: &'static str,
    kernel: Kernel,
    setup: Setup,
}

/// In the order of the table. The first is what the others are compared with.
const FILTERS: &[Filter] = &[
    peer(PLAIN, || Ok(())),
    peer(CONSTANT_SECCOMP, || seccomp(0, false)),
    peer("seccomp, 10 rules, one argument test", || seccomp(10, true)),
    peer("seccomp, 100 rules, one argument test", || {
        seccomp(100, true)
    }),
    peer("syscall user dispatch, allowed", user_dispatch),
    peer("raw_syscalls events, enter and exit", tracepoints),
    Filter {
        name: "mainline with BPF's options, plain",
        kernel: Kernel::Peers,
        setup: Setup::Own(|| Ok(())),
    },
    Filter {
        name: "BPF, override by kprobe",
        kernel: Kernel::Peers,
        setup: Setup::Own(|| overridden(std::process::id() as i32)),
    },
    Filter {
        name: "BPF, override by kprobe, other process",
        kernel: Kernel::Peers,
        setup: Setup::Own(|| overridden(1)),
    },
    Filter {
        name: "ptrace, both stops, empty tracer",
        kernel: Kernel::Mainline,
        setup: Setup::Traced,
    },
    Filter {
        name: "strace -e inject=getppid:error=EPERM",
        kernel: Kernel::Mainline,
        setup: Setup::Strace,
    },
    ours(UNTAGGED, || Ok(())),
    ours("forced slow path (force_all)", || steer::take(Path::Forced)),
    ours(ATTACHED, || steer::take(Path::Attached)),
    ours("attached, exits counted", || {
        steer::take(Path::Attached)?;
        fs::write(format!("{}/count_exits", steer::GROUP), "1").context("count_exits")
    }),
    ours("policy, 1 rule, allowed", || policy(1, None)),
    ours("policy, 10 rules, allowed", || policy(10, None)),
    ours(POLICY_OF_100, || policy(100, None)),
    ours("policy, 1000 rules, allowed", || policy(1000, None)),
    ours("policy, 100 rules, one argument test", || {
        policy(100, Some("getppid arg0 == 0xffffffffffff errno EPERM"))
    }),
    ours("policy, 1000 rules, 50 with conditions", || {
        policy_with(1000, 50, None)
    }),
    ours("the same, of 201 threads, with signals", || {
        service()?;
        policy_with(1000, 50, None)
    }),
    ours("policy, log mode, allowed", || {
        policy(100, None)?;
        fs::write(format!("{POLICY}/mode"), "log").context("mode")
    }),
    ours("policy, injected error", || {
        policy(100, Some("getppid errno EPERM"))
    }),
    ours("policy, injected result", || {
        policy(100, Some("getppid return 1"))
    }),
];

pub const PLAIN: &str = "mainline, plain";
const CONSTANT_SECCOMP: &str = "seccomp, constant allow";
const UNTAGGED: &str = "untagged";
const ATTACHED: &str = "attached, no policy";
const POLICY_OF_100: &str = "policy, 100 rules, allowed";

/// Those of the table by CPU model, where each is a ratio to the first.
pub const BY_MODEL: &[&str] = &[PLAIN, UNTAGGED, CONSTANT_SECCOMP, ATTACHED, POLICY_OF_100];

/// Those that a task may have on our kernel as well: it should be none the worse for that.
pub const ON_BOTH: &[&str] = &[
    CONSTANT_SECCOMP,
    "seccomp, 100 rules, one argument test",
    "syscall user dispatch, allowed",
    "raw_syscalls events, enter and exit",
];

/// The rows of the chart: how many rules the policy has.
pub const BY_RULES: [(u32, &str); 4] = [
    (1, "policy, 1 rule, allowed"),
    (10, "policy, 10 rules, allowed"),
    (100, POLICY_OF_100),
    (1000, "policy, 1000 rules, allowed"),
];

const fn peer(name: &'static str, setup: fn() -> Result<()>) -> Filter {
    Filter {
        name,
        kernel: Kernel::Mainline,
        setup: Setup::Own(setup),
    }
}

const fn ours(name: &'static str, setup: fn() -> Result<()>) -> Filter {
    Filter {
        name,
        kernel: Kernel::Ours,
        setup: Setup::Own(setup),
    }
}

/// The names, in the order of the table.
pub fn names() -> impl Iterator<Item = &'static str> {
    FILTERS.iter().map(|filter| filter.name)
}

/// Whether there need not be a kernel to measure this on.
pub fn is_optional(name: &str) -> bool {
    let filter = FILTERS.iter().find(|filter| filter.name == name);
    filter.is_some_and(|filter| filter.kernel == Kernel::Peers)
}

const POLICY: &str = "/sys/kernel/config/slowpath/policies/bench";

/// Attaches this process under a policy with so many rules; the last one is given.
fn policy(rules: usize, last: Option<&str>) -> Result<()> {
    policy_with(rules, 0, last)
}

/// The same, of which so many look at an argument.
fn policy_with(rules: usize, conditions: usize, last: Option<&str>) -> Result<()> {
    let conditional = (360..560).map(|nr| format!("{nr} arg0 == 7 errno EPERM\n"));
    // Calls that this process does not make.
    let others = (360..560).map(|nr| format!("{nr} errno EPERM\n"));
    let others32 = (1..500).map(|nr| format!("{nr} arch i386 errno EPERM\n"));
    let x32 = (1..).map(|nr| format!("{} arch x32 allow\n", nr % 200));
    let mut text: Vec<String> = conditional.take(conditions).collect();
    let rest = others.skip(conditions).chain(others32).chain(x32);
    text.extend(rest.take(rules - 1 - conditions));
    text.push(last.unwrap_or("getppid allow").to_string());

    fs::create_dir(POLICY).context(POLICY)?;
    fs::write(format!("{POLICY}/rules"), text.concat()).context("rules")?;
    steer::take(Path::Attached)?;
    fs::write(format!("{}/policy", steer::GROUP), "bench").context("policy")
}

/// Makes this process like a service: 200 more threads, whose calls were restarted behind a signal,
/// and signals that come all the time.
fn service() -> Result<()> {
    static HANDLED: AtomicU32 = AtomicU32::new(0);
    extern "C" fn handle(_: i32) {
        HANDLED.fetch_add(1, SeqCst);
    }
    let mut pipe = [0; 2];
    // SAFETY: All-zero is a valid `sigaction`, the handler may run anywhere, and there is room for
    // two descriptors.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handle as *const () as usize;
        action.sa_flags = libc::SA_RESTART;
        for signal in [libc::SIGUSR1, libc::SIGALRM] {
            let ret = libc::sigaction(signal, &action, std::ptr::null_mut());
            ensure!(ret == 0, "sigaction");
        }
        ensure!(libc::pipe(pipe.as_mut_ptr()) == 0, "pipe");
    }
    for n in 1..=200 {
        let (to, from) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut byte = 0u8;
            // SAFETY: It has no memory effects.
            let _ = to.send(unsafe { libc::gettid() });
            // SAFETY: Reads to `byte`. Nobody writes: it waits.
            unsafe { libc::read(pipe[0], (&raw mut byte).cast(), 1) };
        });
        let tid = from.recv()?;
        let call = format!("/proc/self/task/{tid}/syscall");
        let reads = format!("{} {:#x} ", libc::SYS_read, pipe[0]);
        let until_it_waits = || -> Result<()> {
            while !fs::read_to_string(&call)?.starts_with(&reads) {
                std::thread::yield_now();
            }
            Ok(())
        };
        until_it_waits()?;
        // SAFETY: The thread is ours, and has a handler.
        unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), tid, libc::SIGUSR1) };
        while HANDLED.load(SeqCst) < n {
            std::thread::yield_now();
        }
        until_it_waits()?;
    }
    let each = libc::timeval {
        tv_sec: 0,
        tv_usec: 1000,
    };
    let timer = libc::itimerval {
        it_interval: each,
        it_value: each,
    };
    // SAFETY: Its signal has a handler.
    let ret = unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut()) };
    ensure!(ret == 0, "setitimer");
    Ok(())
}

/// Puts this process under a filter of the usual kind: it lists what is allowed, and getppid comes
/// late in the list. The rest is allowed, too, so that the benchmark can go on.
fn seccomp(rules: usize, argument: bool) -> Result<()> {
    let mut listed = BTreeMap::new();
    if rules > 0 {
        let others = (0..libc::SYS_getppid).chain(libc::SYS_getppid + 1..);
        listed.extend(others.take(rules - 1).map(|nr| (nr, Vec::new())));
        let mut conditions = Vec::new();
        if argument {
            let (width, other) = (SeccompCmpArgLen::Qword, 0xffff_ffff_ffff);
            let differs = SeccompCondition::new(0, width, SeccompCmpOp::Ne, other)?;
            conditions.push(SeccompRule::new(vec![differs])?);
        }
        listed.insert(libc::SYS_getppid, conditions);
    }
    let (otherwise, on_match) = if rules > 0 {
        (SeccompAction::Log, SeccompAction::Allow)
    } else {
        (SeccompAction::Allow, SeccompAction::Log)
    };
    let filter = SeccompFilter::new(listed, otherwise, on_match, TargetArch::x86_64)?;
    let program: BpfProgram = filter.try_into()?;
    Ok(seccompiler::apply_filter(&program)?)
}

/// For as long as this process lives.
fn overridden(process: i32) -> Result<()> {
    bpf::override_getppid(process).map(std::mem::forget)
}

/// The selector, which is looked at in each call, lets it be made.
fn user_dispatch() -> Result<()> {
    const PR_SET_SYSCALL_USER_DISPATCH: i32 = 59;
    const PR_SYS_DISPATCH_ON: libc::c_ulong = 1;
    const SYSCALL_DISPATCH_FILTER_ALLOW: u8 = 0;
    static SELECTOR: u8 = SYSCALL_DISPATCH_FILTER_ALLOW;

    // SAFETY: The selector lives as long as the process.
    let ret = unsafe {
        let (set, on) = (PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON);
        libc::prctl(set, on, 0, 0, &raw const SELECTOR)
    };
    ensure!(ret == 0, "user dispatch");
    Ok(())
}

fn tracepoints() -> Result<()> {
    let events = "/sys/kernel/tracing/events/raw_syscalls/enable";
    if !fs::exists(events)? {
        let kind = c"tracefs".as_ptr();
        // SAFETY: Only mounts; this needs no data.
        let ret = unsafe {
            let at = c"/sys/kernel/tracing".as_ptr();
            libc::mount(kind, at, kind, 0, std::ptr::null())
        };
        ensure!(ret == 0, "mounting tracefs");
    }
    fs::write(events, "1").context(events)
}

/// Undoes what outlives the process that is measured.
fn clean_up() {
    let _ = fs::write("/sys/kernel/tracing/events/raw_syscalls/enable", "0");
    let _ = fs::write("/sys/kernel/slowpath/force_all", "0");
    // The task that was just measured has them a little longer than it lives.
    for directory in [steer::GROUP, POLICY] {
        while fs::remove_dir(directory).is_err_and(|e| e.raw_os_error() == Some(libc::EBUSY)) {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }
}

/// Resumes a traced child at each of its stops, until it ends.
fn trace(child: i32) {
    let mut status = 0;
    // SAFETY: The kernel writes one `int`, to `status`, which is borrowed until it returns.
    unsafe {
        while libc::waitpid(child, &mut status, 0) == child && libc::WIFSTOPPED(status) {
            libc::ptrace(libc::PTRACE_SYSCALL, child, 0, 0);
        }
    }
}

fn measure(filter: &Filter, clock: bool) -> Result<f64> {
    if matches!(filter.setup, Setup::Strace) {
        let program = std::env::current_exe()?;
        let clock = clock.then_some("--clock");
        let output = Command::new("strace")
            .args(["-o", "/dev/null", "-e", "inject=getppid:error=EPERM"])
            .arg(program)
            .arg("null-call")
            .args(clock)
            .output()
            .context("strace")?;
        let text = String::from_utf8(output.stdout)?;
        return text.trim().parse().context("strace's output");
    }

    let (mut from, mut to) = UnixStream::pair()?;
    // SAFETY: There are no other threads.
    match unsafe { libc::fork() } {
        -1 => anyhow::bail!("fork"),
        0 => {
            let result = match filter.setup {
                Setup::Own(setup) => setup(),
                _ => {
                    // SAFETY: Only makes this process stop for its parent.
                    unsafe {
                        libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0);
                        libc::raise(libc::SIGSTOP);
                    }
                    Ok(())
                }
            };
            let result = result.and_then(|()| measure_null_call(clock));
            if let Err(e) = &result {
                eprintln!("{}: {e:#}", filter.name);
            }
            let _ = to.write_all(&result.unwrap_or(f64::NAN).to_ne_bytes());
            // SAFETY: Ends the child.
            unsafe { libc::_exit(0) }
        }
        child => {
            drop(to);
            if matches!(filter.setup, Setup::Traced) {
                trace(child);
            } else {
                // SAFETY: The child is ours.
                unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
            }
            let mut bytes = [0; 8];
            from.read_exact(&mut bytes).context("the child died")?;
            let cost = f64::from_ne_bytes(bytes);
            ensure!(!cost.is_nan(), "{} cannot be measured", filter.name);
            Ok(cost)
        }
    }
}

pub fn measure_all(kernel: Kernel, few: bool, clock: bool) -> Result<BTreeMap<String, f64>> {
    let mut results = BTreeMap::new();
    let here = |filter: &&Filter| {
        let is_here =
            filter.kernel == kernel || kernel != Kernel::Peers && ON_BOTH.contains(&filter.name);
        is_here && (!few || BY_MODEL.contains(&filter.name))
    };
    for filter in FILTERS.iter().filter(here) {
        let cost = measure(filter, clock);
        clean_up();
        results.insert(filter.name.to_string(), cost.context(filter.name)?);
    }
    Ok(results)
}
