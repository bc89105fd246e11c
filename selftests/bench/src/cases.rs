// SPDX-License-Identifier: GPL-2.0

//! The syscalls that are measured.

use anyhow::{bail, ensure, Result};
use std::{arch::asm, arch::x86_64::_rdtsc, collections::BTreeMap, ffi::CStr, time::Instant};
use syscalls::{syscall, Errno, Sysno};

/// Makes a number of rounds.
type Rounds = Box<dyn FnMut(u32) -> Result<(), Errno>>;

struct Case {
    name: &'static str,
    /// Few enough to fit between two ticks of the timer, most times.
    rounds: u32,
    prepare: fn() -> Result<Rounds>,
}

const BATCHES: u32 = 801;
const WARM_UP: u32 = 20;

/// In the order of the table.
const CASES: &[Case] = &[
    Case {
        name: "null call (getppid)",
        rounds: 200,
        prepare: || Ok(Box::new(null_calls)),
    },
    Case {
        name: "null call, int 0x80",
        rounds: 200,
        prepare: || Ok(Box::new(null_calls_int80)),
    },
    Case {
        name: "read, 1 byte",
        rounds: 100,
        prepare: || {
            let fd = open(c"/dev/zero")?;
            let mut byte = 0u8;
            // SAFETY: Reads to `byte`.
            repeat(move || unsafe { syscall!(Sysno::read, fd, &raw mut byte, 1) })
        },
    },
    Case {
        name: "write, 1 byte",
        rounds: 100,
        prepare: || {
            let fd = open(c"/dev/null")?;
            let byte = 0u8;
            // SAFETY: Writes `byte`.
            repeat(move || unsafe { syscall!(Sysno::write, fd, &raw const byte, 1) })
        },
    },
    Case {
        name: "open + close",
        rounds: 20,
        prepare: || {
            repeat(|| {
                let fd = open(c"/dev/null")?;
                // SAFETY: Just opened.
                unsafe { syscall!(Sysno::close, fd) }
            })
        },
    },
    Case {
        name: "stat",
        rounds: 30,
        prepare: || {
            // SAFETY: All-zero is valid.
            let mut stat: libc::stat = unsafe { std::mem::zeroed() };
            // SAFETY: Writes to `stat`.
            repeat(move || unsafe { syscall!(Sysno::stat, c"/dev/null".as_ptr(), &raw mut stat) })
        },
    },
    Case {
        name: "futex wake",
        rounds: 100,
        prepare: || {
            let word = Box::new(0u32);
            let wake = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
            // SAFETY: Nobody waits.
            repeat(move || unsafe { syscall!(Sysno::futex, &raw const *word, wake, 1) })
        },
    },
    Case {
        name: "sched_yield",
        rounds: 100,
        // SAFETY: Has no memory effects.
        prepare: || repeat(|| unsafe { syscall!(Sysno::sched_yield) }),
    },
    Case {
        name: "pipe ping-pong",
        rounds: 10,
        prepare: ping_pong,
    },
    Case {
        name: "fork + exit + wait",
        rounds: 1,
        prepare: || repeat(fork_exit_wait),
    },
];

/// The names, in the order of the table.
pub fn names() -> impl Iterator<Item = &'static str> {
    CASES.iter().map(|case| case.name)
}

pub fn measure_all(clock: bool) -> Result<BTreeMap<String, f64>> {
    CASES
        .iter()
        .map(|case| Ok((case.name.to_string(), measure(case, clock)?)))
        .collect()
}

/// The first of the cases.
pub fn measure_null_call(clock: bool) -> Result<f64> {
    measure(&CASES[0], clock)
}

/// The last of the cases.
pub fn measure_fork(clock: bool) -> Result<f64> {
    measure(&CASES[CASES.len() - 1], clock)
}

/// What something costs that is done once.
pub fn cost_of(clock: bool, f: impl FnOnce() -> Result<()>) -> Result<f64> {
    if clock {
        let start = Instant::now();
        f()?;
        Ok(start.elapsed().as_nanos() as f64)
    } else {
        // SAFETY: Every x86-64 CPU has it.
        let start = unsafe { _rdtsc() };
        f()?;
        // SAFETY: As above.
        Ok((unsafe { _rdtsc() } - start) as f64)
    }
}

/// The median of the batches: no interrupt came into that, and no rare stroke of luck.
fn measure(case: &Case, clock: bool) -> Result<f64> {
    let mut rounds = (case.prepare)()?;
    let mut costs = Vec::with_capacity(BATCHES as usize);
    for batch in 0..WARM_UP + BATCHES {
        let cost = cost_of(clock, || Ok(rounds(case.rounds)?))?;
        if batch >= WARM_UP {
            costs.push(cost);
        }
    }
    costs.sort_by(f64::total_cmp);
    Ok(costs[costs.len() / 2] / f64::from(case.rounds))
}

fn repeat(mut round: impl FnMut() -> Result<usize, Errno> + 'static) -> Result<Rounds> {
    Ok(Box::new(move |rounds| {
        for _ in 0..rounds {
            round()?;
        }
        Ok(())
    }))
}

fn open(path: &CStr) -> Result<usize, Errno> {
    // SAFETY: Reads `path`.
    unsafe { syscall!(Sysno::open, path.as_ptr(), libc::O_RDWR) }
}

/// A loop of three instructions beside the call.
fn null_calls(rounds: u32) -> Result<(), Errno> {
    // SAFETY: Has no memory effects.
    unsafe {
        asm!(
            "2:",
            "mov eax, {nr}",
            "syscall",
            "dec {rounds:e}",
            "jnz 2b",
            nr = const libc::SYS_getppid,
            rounds = inout(reg) rounds => _,
            out("rax") _, out("rcx") _, out("r11") _,
        );
    }
    Ok(())
}

fn null_calls_int80(rounds: u32) -> Result<(), Errno> {
    const SYS_GETPPID_I386: i32 = 64;

    // SAFETY: Has no memory effects.
    unsafe {
        asm!(
            "2:",
            "mov eax, {nr}",
            "int 0x80",
            "dec {rounds:e}",
            "jnz 2b",
            nr = const SYS_GETPPID_I386,
            rounds = inout(reg) rounds => _,
            out("rax") _,
        );
    }
    Ok(())
}

fn pipe() -> Result<[i32; 2]> {
    let mut fds = [0; 2];
    // SAFETY: There is room for two.
    ensure!(unsafe { libc::pipe(fds.as_mut_ptr()) } == 0, "pipe");
    Ok(fds)
}

fn pass_byte(from: i32, to: i32) -> Result<usize, Errno> {
    let mut byte = 0u8;
    // SAFETY: Reads to `byte`, and writes it.
    unsafe {
        syscall!(Sysno::write, to, &raw const byte, 1)?;
        syscall!(Sysno::read, from, &raw mut byte, 1)
    }
}

/// A byte to another task and back: two switches, two reads, two writes.
fn ping_pong() -> Result<Rounds> {
    let (to, from) = (pipe()?, pipe()?);
    // SAFETY: There are no other threads.
    match unsafe { libc::fork() } {
        -1 => bail!("fork"),
        0 => {
            let mut byte = 0u8;
            // SAFETY: Closes the ends that are the parent's, with which we would never end.
            unsafe { (libc::close(to[1]), libc::close(from[0])) };
            // SAFETY: Reads to `byte`.
            while unsafe { syscall!(Sysno::read, to[0], &raw mut byte, 1) } == Ok(1) {
                // SAFETY: Writes `byte`.
                if unsafe { syscall!(Sysno::write, from[1], &raw const byte, 1) } != Ok(1) {
                    break;
                }
            }
            // SAFETY: Ends the child.
            unsafe { libc::_exit(0) }
        }
        _ => repeat(move || pass_byte(from[0], to[1])),
    }
}

fn fork_exit_wait() -> Result<usize, Errno> {
    // SAFETY: There are no other threads, and the child only exits.
    unsafe {
        let pid = syscall!(Sysno::fork)?;
        if pid == 0 {
            let _ = syscall!(Sysno::exit, 0);
        }
        syscall!(Sysno::wait4, pid, 0, 0, 0)
    }
}
