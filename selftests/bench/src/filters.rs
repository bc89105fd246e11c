// SPDX-License-Identifier: GPL-2.0

//! What a filter adds to a call: ours, and its peers, each in a process of its own.

use crate::{
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
};

/// The kernel that a filter is measured on.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kernel {
    Mainline,
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
    peer("mainline, plain", || Ok(())),
    peer("seccomp, constant allow", || seccomp(0, false)),
    peer("seccomp, 10 rules, one argument test", || seccomp(10, true)),
    peer("seccomp, 100 rules, one argument test", || {
        seccomp(100, true)
    }),
    peer("raw_syscalls events, enter and exit", tracepoints),
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
    ours("untagged", || Ok(())),
    ours("forced slow path (force_all)", || steer::take(Path::Forced)),
    ours("attached, no policy", || steer::take(Path::Attached)),
    ours("policy, 1 rule, allowed", || policy(1, None)),
    ours("policy, 10 rules, allowed", || policy(10, None)),
    ours("policy, 100 rules, allowed", || policy(100, None)),
    ours("policy, 1000 rules, allowed", || policy(1000, None)),
    ours("policy, 100 rules, one argument test", || {
        policy(100, Some("getppid arg0 == 0xffffffffffff errno EPERM"))
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

/// The rows of the chart: how many rules the policy has.
pub const BY_RULES: [(u32, &str); 4] = [
    (1, "policy, 1 rule, allowed"),
    (10, "policy, 10 rules, allowed"),
    (100, "policy, 100 rules, allowed"),
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

const POLICY: &str = "/sys/kernel/config/slowpath/policies/bench";

/// Attaches this process under a policy with so many rules; the last one is given.
fn policy(rules: usize, last: Option<&str>) -> Result<()> {
    // Calls that this process does not make.
    let others = (360..560).map(|nr| format!("{nr} errno EPERM\n"));
    let others32 = (1..500).map(|nr| format!("{nr} arch i386 errno EPERM\n"));
    let x32 = (1..).map(|nr| format!("{} arch x32 allow\n", nr % 200));
    let mut text: Vec<String> = others.chain(others32).chain(x32).take(rules - 1).collect();
    text.push(last.unwrap_or("getppid allow").to_string());

    fs::create_dir(POLICY).context(POLICY)?;
    fs::write(format!("{POLICY}/rules"), text.concat()).context("rules")?;
    steer::take(Path::Attached)?;
    fs::write(format!("{}/policy", steer::GROUP), "bench").context("policy")
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

pub fn measure_all(kernel: Kernel, clock: bool) -> Result<BTreeMap<String, f64>> {
    let mut results = BTreeMap::new();
    for filter in FILTERS.iter().filter(|filter| filter.kernel == kernel) {
        let cost = measure(filter, clock);
        clean_up();
        results.insert(filter.name.to_string(), cost.context(filter.name)?);
    }
    Ok(results)
}
