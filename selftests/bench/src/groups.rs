// SPDX-License-Identifier: GPL-2.0

//! What it costs to administer groups, and to be in one where tasks are made and end.

use crate::cases::{self, cost_of};
use anyhow::{ensure, Context, Result};
use std::{
    arch::asm,
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    os::{fd::FromRawFd, unix::fs::FileExt},
};

const SYSFS: &str = "/sys/kernel/slowpath";
const GROUPS: &str = "/sys/kernel/config/slowpath/groups";
const POLICIES: &str = "/sys/kernel/config/slowpath/policies";

const ATTACH: &str = "attach a task, and detach it";
const JOIN: &str = "join a process, each of 1,000 threads";
const LEAVE: &str = "leave, each of 1,000 threads";
const SWITCH: &str = "switch a group of 10 among 4,000 tasks";
const FORK: &str = "fork + exit + wait, in no group";
const FORK_MEMBER: &str = "fork + exit + wait, in a group";
const RULES: &str = "replace rules that one group is under";
const RULES_MANY: &str = "replace rules, each of 1,000 groups more";

/// The names, in the order of the table.
pub const NAMES: &[&str] = &[
    ATTACH,
    JOIN,
    LEAVE,
    SWITCH,
    FORK,
    FORK_MEMBER,
    RULES,
    RULES_MANY,
];

/// A process with threads that sleep. It ends with this one.
struct Sleepers(i32);

impl Sleepers {
    fn new(threads: usize) -> Result<Self> {
        let mut fds = [0; 2];
        // SAFETY: There is room for two.
        ensure!(unsafe { libc::pipe(fds.as_mut_ptr()) } == 0, "pipe");
        // SAFETY: There are no other threads.
        let pid = unsafe { libc::fork() };
        ensure!(pid >= 0, "fork");
        if pid == 0 {
            // SAFETY: Ends this process when its parent does.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            let made = (1..threads).all(|_| sleeper());
            // SAFETY: Writes a byte.
            unsafe { libc::write(fds[1], [u8::from(made)].as_ptr().cast(), 1) };
            loop {
                // SAFETY: Has no memory effects.
                unsafe { libc::pause() };
            }
        }
        // SAFETY: Ours, and used nowhere else.
        let (mut from, to) = unsafe { (File::from_raw_fd(fds[0]), File::from_raw_fd(fds[1])) };
        drop(to);
        let mut made = [0];
        from.read_exact(&mut made)?;
        ensure!(made == [1], "threads cannot be made");
        Ok(Self(pid))
    }
}

impl Drop for Sleepers {
    fn drop(&mut self) {
        // SAFETY: Our child.
        unsafe {
            libc::kill(self.0, libc::SIGKILL);
            libc::waitpid(self.0, std::ptr::null_mut(), 0);
        }
    }
}

/// Makes a thread that has no stack.
fn sleeper() -> bool {
    const FLAGS: i32 = libc::CLONE_VM
        | libc::CLONE_FS
        | libc::CLONE_FILES
        | libc::CLONE_SIGHAND
        | libc::CLONE_THREAD
        | libc::CLONE_SYSVSEM;

    let result: i64;
    // SAFETY: The new thread uses registers alone, and never leaves the loop.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 3f",
            "2: mov eax, {pause}",
            "syscall",
            "jmp 2b",
            "3:",
            pause = const libc::SYS_pause,
            inlateout("rax") libc::SYS_clone => result,
            in("rdi") FLAGS as u64,
            in("rsi") 0, in("rdx") 0, in("r10") 0, in("r8") 0,
            out("rcx") _, out("r11") _,
        );
    }
    result > 0
}

/// A file that is written again and again.
struct Knob(File);

impl Knob {
    fn new(path: &str) -> Result<Self> {
        let open = OpenOptions::new().write(true).open(path);
        Ok(Self(open.with_context(|| path.to_string())?))
    }

    fn set(&self, text: &str) -> Result<()> {
        ensure!(self.0.write_at(text.as_bytes(), 0)? == text.len());
        Ok(())
    }
}

fn group(name: &str) -> Result<String> {
    let path = format!("{GROUPS}/{name}");
    fs::create_dir(&path).with_context(|| path.clone())?;
    Ok(path)
}

fn remove_group(path: &str) -> Result<()> {
    fs::write(format!("{path}/leave"), "all")?;
    Ok(fs::remove_dir(path)?)
}

/// The median of so many.
fn median(times: usize, mut cost: impl FnMut() -> Result<f64>) -> Result<f64> {
    let mut costs = (0..times).map(|_| cost()).collect::<Result<Vec<_>>>()?;
    costs.sort_by(f64::total_cmp);
    Ok(costs[times / 2])
}

pub fn measure_all(clock: bool) -> Result<BTreeMap<String, f64>> {
    let mut results = BTreeMap::new();
    let mut add = |name: &str, cost| results.insert(name.to_string(), cost);

    let one = Sleepers::new(1)?;
    let (attach, detach) = (
        Knob::new(&format!("{SYSFS}/attach"))?,
        Knob::new(&format!("{SYSFS}/detach"))?,
    );
    let tid = one.0.to_string();
    add(
        ATTACH,
        median(101, || {
            cost_of(clock, || {
                attach.set(&tid)?;
                detach.set(&tid)
            })
        })?,
    );

    let many = Sleepers::new(1000)?;
    let path = group("many")?;
    let whom = format!("process {}", many.0);
    let (join, leave) = (
        Knob::new(&format!("{path}/join"))?,
        Knob::new(&format!("{path}/leave"))?,
    );
    let mut costs = [Vec::new(), Vec::new()];
    for _ in 0..21 {
        costs[0].push(cost_of(clock, || join.set(&whom))?);
        costs[1].push(cost_of(clock, || leave.set(&whom))?);
    }
    for (name, mut costs) in [JOIN, LEAVE].into_iter().zip(costs) {
        costs.sort_by(f64::total_cmp);
        add(name, costs[costs.len() / 2] / 1000.0);
    }

    // The others, in a group of theirs.
    let others = (0..3)
        .map(|_| Sleepers::new(1000))
        .collect::<Result<Vec<_>>>()?;
    for pid in others.iter().map(|other| other.0).chain([many.0]) {
        join.set(&format!("process {pid}"))?;
    }
    let ten = Sleepers::new(10)?;
    let ten_path = group("ten")?;
    fs::write(format!("{ten_path}/join"), format!("process {}", ten.0))?;
    let enabled = Knob::new(&format!("{ten_path}/enabled"))?;
    let mut on = true;
    add(
        SWITCH,
        median(101, || {
            on = !on;
            cost_of(clock, || enabled.set(if on { "1" } else { "0" }))
        })?,
    );
    drop((others, many, ten));
    remove_group(&ten_path)?;
    remove_group(&path)?;

    let path = group("forks")?;
    add(FORK, cases::measure_fork(clock)?);
    let me = format!("process {}", std::process::id());
    fs::write(format!("{path}/join"), &me)?;
    add(FORK_MEMBER, cases::measure_fork(clock)?);
    remove_group(&path)?;

    let policy = format!("{POLICIES}/many");
    fs::create_dir(&policy).context("a policy")?;
    let mut paths = Vec::new();
    let mut of_number = |number: usize| -> Result<f64> {
        while paths.len() < number {
            let path = group(&format!("many-{}", paths.len()))?;
            fs::write(format!("{path}/policy"), "many")?;
            paths.push(path);
        }
        median(21, || {
            let mut rules = OpenOptions::new()
                .write(true)
                .open(format!("{policy}/rules"))?;
            cost_of(clock, || {
                rules.write_all(b"getppid errno EPERM")?;
                // They are stored when it is closed.
                drop(std::mem::replace(&mut rules, File::open("/dev/null")?));
                Ok(())
            })
        })
    };
    let one = of_number(1)?;
    let more = of_number(1001)?;
    add(RULES, one);
    add(RULES_MANY, (more - one) / 1000.0);
    for path in paths {
        remove_group(&path)?;
    }
    fs::remove_dir(policy)?;
    Ok(results)
}
